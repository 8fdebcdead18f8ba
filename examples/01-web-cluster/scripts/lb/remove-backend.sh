#!/bin/sh
set -eu
sudo rm -f "/etc/nginx/backends/$TARGET_INSTANCE.conf"
if [ -s /run/nginx.pid ] && sudo kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; then
	sudo nginx -s reload
fi
echo "removed $BACKEND"
