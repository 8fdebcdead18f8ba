#!/bin/sh
# Runs on the balancer, once for every instance of the application.
set -eu
printf '%s' "$BACKEND" >"$HOME/services/$SOURCE_NODE/backends/$TARGET_INSTANCE"
echo "added $BACKEND"
