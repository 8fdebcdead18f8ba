#!/bin/sh
set -eu
if [ -s /run/nginx.pid ] && sudo kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; then
	sudo nginx -s quit
fi
