#!/bin/sh
# Runs on the application's server before it is configured.
set -eu
cd "$HOME/services/$SOURCE_NODE"
umask 077
printf '%s' "$STORE" >store
printf '%s' "$TOKEN" >token
