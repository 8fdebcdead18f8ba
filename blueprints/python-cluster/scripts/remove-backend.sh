#!/bin/sh
set -eu
rm -f "$HOME/services/$SOURCE_NODE/backends/$TARGET_INSTANCE"
