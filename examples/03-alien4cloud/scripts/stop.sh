#!/bin/bash
[ ! -f /srv/notes/pid ] || kill "$(cat /srv/notes/pid)" 2> /dev/null
rm -f /srv/notes/pid
