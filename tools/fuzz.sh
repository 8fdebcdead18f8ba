#!/bin/sh
# Runs every fuzz target of the module, one after the other, for FUZZTIME each (default 30s). Stops at the first finding; Go has then
# written the input to testdata/fuzz/, where it becomes a test case.
set -eu
cd "$(dirname -- "$0")/.."

count=0
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' cmd internal pkg plugins tools 2>/dev/null | xargs -r -n 1 dirname | sort -u); do
  for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir"/*_test.go); do
    printf '%s %s\n' "$dir" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "./$dir"
    count=$((count + 1))
  done
done
printf '%s fuzz targets, nothing found\n' "$count"
