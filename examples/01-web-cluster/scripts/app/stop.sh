#!/bin/sh
set -eu
pid=$(cat /srv/app/gunicorn.pid 2>/dev/null) || exit 0
kill "$pid" 2>/dev/null || exit 0
for _ in $(seq 40); do
	kill -0 "$pid" 2>/dev/null || exit 0
	sleep 0.25
done
kill -KILL "$pid"
