#!/bin/sh
set -eu
cd "$HOME/services/$NODE"
umask 077
printf '%s' "$ROW" >row
printf '%s' "$TOKEN" >token
