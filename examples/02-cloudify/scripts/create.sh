#!/bin/sh -e
# Needs python3 only, which Debian's images have.
dir=$HOME/guest-book
mkdir -p "$dir"
ctx download-resource scripts/site/guest_book.py "$dir/guest_book.py"
ctx instance runtime-properties visitors_file "$dir/visitors"
ctx logger info "the program is in $dir"
