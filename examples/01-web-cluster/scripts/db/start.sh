#!/bin/sh
set -eu
pg_lsclusters -h | while read -r version name _port status _rest; do
	[ "${status%%,*}" = online ] || sudo pg_ctlcluster "$version" "$name" start
done
