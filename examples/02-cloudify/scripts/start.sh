#!/bin/sh -e
cd "$HOME/guest-book"
port=$(ctx node properties port)
setsid nohup python3 guest_book.py "$port" "$(ctx instance runtime-properties visitors_file)" > log 2>&1 < /dev/null &
echo $! > pid
# Started means that it answers.
for _ in $(seq 50); do
    python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/')" 2> /dev/null && exit 0
    sleep 0.2
done
echo "the guest book does not answer on port $port:" >&2
tail -n 5 log >&2
exit 1
