#!/bin/sh
set -eu
rm -rf "$HOME/services/$NODE"
