#!/bin/sh
# Installs the Debian packages that tests use, those that are missing. It needs root and apt-get; without them, or without the network,
# it says what the tests will do without, and how an administrator installs it, and goes on: Go alone is enough for all others.
set -eu

missing='' packages=''

# want COMMAND "PACKAGES" REASON
want() {
  command -v "$1" >/dev/null 2>&1 && return
  packages="$packages $2"
  missing="$missing  $1: $3
"
}

want cc "gcc libc6-dev" "the race detector of go test"
want ssh openssh-client "tests with the real ssh client"
want python3 python3-minimal "tests that run operations written in Python on this machine"
want newuidmap uidmap "servers of the sandbox without root"
want nsenter util-linux "commands in the network of such servers"
want busybox busybox "tests of operations on hosts that have nothing but busybox"
# A person's machine gets no SSH server for the sake of tests.
if [ -n "${CI-}" ]; then
  PATH=$PATH:/usr/sbin
  want sshd openssh-server "tests against OpenSSH's server"
fi

[ -n "$packages" ] || exit 0

give_up() {
  printf 'setup: %s. The tests go without:\n%s' "$1" "$missing" >&2
  exit 0
}

if [ "$(id -u)" != 0 ]; then
  missing="${missing}An administrator installs them with
  apt-get install -y --no-install-recommends$packages
"
  give_up "not root, so nothing is installed"
fi
command -v apt-get >/dev/null 2>&1 || give_up "there is no apt-get, so nothing is installed"

printf 'setup: installing%s\n' "$packages" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # what is installed is not started

# shellcheck disable=SC2086 # a list of words
install() { apt-get install -y --no-install-recommends $packages >"$log" 2>&1 </dev/null; }

# The package lists may be old or absent.
if ! install && ! { apt-get update >"$log" 2>&1 </dev/null && install; }; then
  tail -n 5 "$log" >&2
  give_up "apt-get cannot install them"
fi
