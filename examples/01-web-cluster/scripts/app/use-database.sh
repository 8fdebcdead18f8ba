#!/bin/sh
# Runs on the application's server, before it is configured: where the database is and how to log in, readable by the application only.
set -eu
umask 077
cat > /srv/app/database.env <<ENV
DB_HOST=$DB_HOST
DB_PORT=$DB_PORT
DB_NAME=$DB_NAME
DB_USER=$DB_USER
DB_PASSWORD=$DB_PASSWORD
ENV
