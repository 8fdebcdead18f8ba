#!/bin/bash
echo "$TEXT" >> /srv/notes/notes.txt
