#!/bin/sh
set -eu
printf '%s' "$GREETING" > /srv/app/greeting.txt
hostname > /srv/app/server.txt
[ -s /srv/app/secret.txt ] || (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > /srv/app/secret.txt)
