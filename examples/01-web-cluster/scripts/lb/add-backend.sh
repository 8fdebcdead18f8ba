#!/bin/sh
# Runs on the load balancer, once for every instance of the application.
set -eu
echo "server $BACKEND max_fails=1 fail_timeout=2s;" | sudo tee "/etc/nginx/backends/$TARGET_INSTANCE.conf" >/dev/null
sudo nginx -t -q
sudo nginx -s reload
echo "added $BACKEND"
