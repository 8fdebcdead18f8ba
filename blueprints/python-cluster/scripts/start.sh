#!/bin/sh
set -eu
cd "$HOME/services/$NODE"
. ./service.sh
start_service
