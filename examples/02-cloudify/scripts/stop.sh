#!/bin/sh
cd "$HOME/guest-book" 2> /dev/null || exit 0
[ ! -f pid ] || kill "$(cat pid)" 2> /dev/null
rm -f pid
