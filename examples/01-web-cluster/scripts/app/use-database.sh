#!/bin/sh
# Runs on the application's server, before it is configured: where the database is and how to log in, readable by the application only.
set -eu
umask 077

# quoted prints a text so that a shell reads it back as it is.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

cat > /srv/app/database.env <<ENV
DB_HOST=$(quoted "$DB_HOST")
DB_PORT=$(quoted "$DB_PORT")
DB_NAME=$(quoted "$DB_NAME")
DB_USER=$(quoted "$DB_USER")
DB_PASSWORD=$(quoted "$DB_PASSWORD")
ENV
