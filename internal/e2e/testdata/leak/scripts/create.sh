#!/bin/bash
# Prints what it was given in every form it can think of, to both streams, and hands it on.
set -eu
for v in "$PASSWORD" "$KEY" "$GIVEN" "$ACCOUNT"; do
  echo "value: $v"
  echo "error: $v" >&2
  printf 'in a URL https://user:%s@example.org/\n' "$v"
  printf '%s' "$v" | base64
  printf 'user:%s' "$v" | base64 -w0
  echo
  printf '%s' "$v" | od -An -tx1 | tr -d ' \n'
  echo
  printf 'quoted %q\n' "$v"
done
# in pieces, as a slow program does
for ((i = 0; i < ${#PASSWORD}; i += 5)); do printf '%s' "${PASSWORD:i:5}"; sleep 0.05; done
echo
export COPY="$PASSWORD" ENCODED="prefix $GIVEN suffix"
