#!/bin/sh
# Install PostgreSQL; the package makes and starts a cluster of its own.
set -eu
export DEBIAN_FRONTEND=noninteractive
command -v pg_ctlcluster >/dev/null && exit 0
sudo apt-get update -q
sudo apt-get install -y -q --no-install-recommends postgresql
