#!/bin/sh
# Start Gunicorn in the background and wait until it answers.
set -eu
cd /srv/app
set -a
. ./database.env
set +a
if [ -s gunicorn.pid ] && kill -0 "$(cat gunicorn.pid)" 2>/dev/null; then
	kill -HUP "$(cat gunicorn.pid)"
else
	gunicorn --daemon --pid gunicorn.pid --workers 2 --bind "0.0.0.0:$PORT" --error-logfile gunicorn.log site_app.wsgi
fi
for _ in $(seq 60); do
	if python3 -c "import urllib.request as r; r.urlopen('http://127.0.0.1:$PORT/', timeout=5)" 2>/dev/null; then
		echo "application answers on port $PORT"
		exit 0
	fi
	sleep 0.5
done
echo "application does not answer on port $PORT" >&2
tail -n 20 gunicorn.log >&2
exit 1
