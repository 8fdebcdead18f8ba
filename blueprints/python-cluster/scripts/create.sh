#!/bin/sh
# Everything lies in one directory of the service; nothing of the server is changed.
set -eu
mkdir -p "$HOME/services/$NODE/backends"
cp "$program" "$HOME/services/$NODE/service.py"
cp "$lifecycle" "$HOME/services/$NODE/service.sh"
python3 --version
