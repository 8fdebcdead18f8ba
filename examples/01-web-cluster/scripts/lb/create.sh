#!/bin/sh
set -eu
export DEBIAN_FRONTEND=noninteractive
command -v nginx >/dev/null && exit 0
sudo apt-get update -q
sudo apt-get install -y -q --no-install-recommends nginx-light
