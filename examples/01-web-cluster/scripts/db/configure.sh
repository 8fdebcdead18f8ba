#!/bin/sh
# Role, database, table and a first row; listen on the private network. May be run again: everything is "create if missing".
set -eu
cluster=$(pg_lsclusters -h | head -n 1)
version=$(echo "$cluster" | awk '{print $1}')
name=$(echo "$cluster" | awk '{print $2}')
conf=/etc/postgresql/$version/$name

sudo pg_conftool "$version" "$name" set listen_addresses '*'
sudo pg_conftool "$version" "$name" set port "$DB_PORT"
line="host $DB_NAME $DB_USER $DB_CLIENTS scram-sha-256"
sudo grep -qxF "$line" "$conf/pg_hba.conf" || echo "$line" | sudo tee -a "$conf/pg_hba.conf" >/dev/null
sudo pg_ctlcluster "$version" "$name" restart

# The password goes over standard input, so that no process list shows it.
password=$(printf '%s' "$DB_PASSWORD" | sed "s/[\\\\']/\\\\&/g")
sudo -u postgres psql -q -v ON_ERROR_STOP=1 -p "$DB_PORT" -v name="$DB_NAME" -v user="$DB_USER" <<SQL
\\set password '$password'
SELECT format('CREATE ROLE %I LOGIN', :'user') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'user') \\gexec
SELECT format('ALTER ROLE %I PASSWORD %L', :'user', :'password') \\gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'user') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec
\\connect :"name"
CREATE TABLE IF NOT EXISTS motto (id integer PRIMARY KEY, text text NOT NULL);
INSERT INTO motto VALUES (1, 'one database, many servers') ON CONFLICT DO NOTHING;
SELECT format('GRANT SELECT ON motto TO %I', :'user') \\gexec
SQL
echo "database $DB_NAME is ready on port $DB_PORT"
