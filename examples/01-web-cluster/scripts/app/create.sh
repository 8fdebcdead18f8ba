#!/bin/sh
# Django, Gunicorn and the database driver from the distribution, and the site itself (the artifact "site").
set -eu
export DEBIAN_FRONTEND=noninteractive
if ! command -v gunicorn >/dev/null; then
	sudo apt-get update -q
	sudo apt-get install -y -q --no-install-recommends python3-django gunicorn python3-psycopg2
fi
sudo install -d -o "$(id -u)" -g "$(id -g)" /srv/app
cp -R "$site/." /srv/app/
