#!/bin/bash
# Both programs are started alike; started means that the port is open.
cd /srv/notes
setsid nohup python3 program.py "$PORT" > log 2>&1 < /dev/null &
echo $! > pid
for _ in $(seq 50); do
    (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null && exit 0
    sleep 0.2
done
echo "nothing listens on port $PORT:" >&2
tail -n 5 log >&2
exit 1
