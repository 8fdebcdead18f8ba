#!/bin/sh
set -eu
cd "$HOME/services/$NODE"
. ./service.sh
stop_service
