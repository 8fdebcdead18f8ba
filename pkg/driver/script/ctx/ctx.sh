#!/bin/sh
# Cloudify's ctx for scripts. Where Python is installed it does the work; without it this reads single values, and writes, logs and ends.
# The context comes in the variables ORCH_CTX, ORCH_CTX_1 …: lines "path<tab>JSON". What is written goes to $ORCH_CTX_FILE, one JSON object a
# line; the orchestrator takes it from there when the operation ends.
here=${0%/*}
for py in python3 python; do
  if [ -z "${ORCH_CTX_PLAIN-}" ] && command -v "$py" >/dev/null 2>&1; then
    exec "$py" "$here/../python/cloudify/__init__.py" "$@"
  fi
done

die() { printf 'ctx: %s\n' "$*" >&2; exit 1; }
# Flags may stand anywhere before "--".
prefix=@ left=$# flags=1
while [ "$left" -gt 0 ]; do
  word=$1
  shift
  left=$((left - 1))
  case $flags:$word in
  1:--) flags= ;;
  1:-j | 1:--json-output) die "-j needs python on this host" ;;
  1:-t | 1:--timeout | 1:--socket-url) [ "$left" = 0 ] || { shift; left=$((left - 1)); } ;;
  1:--json-arg-prefix) prefix=${1-}; [ "$left" = 0 ] || { shift; left=$((left - 1)); } ;;
  1:--json-arg-prefix=*) prefix=${word#*=} ;;
  1:--timeout=* | 1:--socket-url=*) ;;
  *) set -- "$@" "$word" ;;
  esac
done
# A value that the script captures stands alone, without the end of a line.
own=$ORCH_JOB/stdout end='\n'
[ /dev/fd/1 -ef "$own" ] || end=
# log LEVEL TEXT: into the operation's output, although the script may be capturing what it prints.
log() { printf '\036orch %s %s\n' "$1" "$2" >>"$own"; }
# show TEXT
show() { [ -z "$1" ] || printf "%s$end" "$1"; }

# json WORD: the word as JSON; with the prefix it is JSON already.
json() {
  case $1 in
  "$prefix"*) printf '%s' "${1#"$prefix"}" ;;
  *)
    printf '%s\n' "$1" | awk '
      function esc(s,  i, c, o) {
        for (i = 1; i <= length(s); i++) {
          c = substr(s, i, 1)
          if (c == "\\" || c == "\"") o = o "\\" c
          else if (c == "\t") o = o "\\t"
          else if (c == "\r") o = o "\\r"
          else if (c >= " " || c > "~") o = o c
        }
        return o
      }
      BEGIN { printf "\"" }
      { if (NR > 1) printf "\\n"; printf "%s", esc($0) }
      END { printf "\"" }' ;;
  esac
}

note() { printf '%s\n' "$1" >>"$ORCH_CTX_FILE"; }

# read_value PATH: a single value of the context, or the last that was written to it.
read_value() {
  shown=$(value "$1") || exit 1
  show "$shown"
}
value() {
  WANT=$1 awk '
    function text(v,  i, c, o, n) {
      if (v == "true") return "True"
      if (v == "false" || v == "null" || v == "0" || v == "\"\"") return ""
      if (substr(v, 1, 1) != "\"") return v
      v = substr(v, 2, length(v) - 2)
      for (i = 1; i <= length(v); i++) {
        c = substr(v, i, 1)
        if (c == "\\") {
          n = substr(v, ++i, 1)
          if (n == "n") c = "\n"
          else if (n == "t") c = "\t"
          else if (n == "r") c = "\r"
          else c = n
        }
        o = o c
      }
      return o
    }
    BEGIN {
      want = ENVIRON["WANT"]
      all = ENVIRON["ORCH_CTX"]
      for (i = 1; ("ORCH_CTX_" i) in ENVIRON; i++) all = all ENVIRON["ORCH_CTX_" i]
      n = split(all, line, "\n")
      for (i = 1; i <= n; i++) {
        at = index(line[i], "\t")
        path = substr(line[i], 1, at - 1)
        if (path == want) { found = 1; value = substr(line[i], at + 1) }
        else if (index(path, want ".") == 1 || index(path, want "[") == 1) nested = 1
      }
      key = "{\"set\":\"" want "\",\"value\":"
      while ((getline l < ENVIRON["ORCH_CTX_FILE"]) > 0)
        if (index(l, key) == 1) { found = 1; value = substr(l, length(key) + 1, length(l) - length(key) - 1) }
      if (found) { print text(value); exit 0 }
      if (nested) { print "ctx: " want " has several values; reading them needs python on this host" > "/dev/stderr"; exit 1 }
      print "ctx: there is no " want " here" > "/dev/stderr"
      exit 1
    }'
}

resource() {
  [ -f "$ORCH_WORK/$1" ] || die "there is no resource $1 in the blueprint"
  printf '%s' "$ORCH_WORK/$1"
}

case ${1-} in
logger) log "$2" "$3" ;;
send-event) log info "$2" ;;
retry-operation) note "{\"retry\":$(json "${2-}"),\"after\":${3:-null}}"; exit 1 ;;
abort-operation) note "{\"abort\":$(json "${2-}")}"; exit 1 ;;
returns) note "{\"returns\":$(json "${2-}")}" ;;
get-resource) cat "$(resource "$2")" ;;
download-resource)
  from=$(resource "$2") || exit 1
  case ${3-} in
  "$prefix"\{*) set -- "$1" "$2" "$(printf '%s' "$3" | sed -n 's/.*"target_path" *: *"\([^"]*\)".*/\1/p')" ;;
  esac
  if [ -n "${3-}" ]; then { [ "$from" -ef "$3" ] || cp "$from" "$3"; } && show "$3"; else
    to=$(mktemp -d "$ORCH_JOB/resource.XXXXXX") && cp "$from" "$to/" && show "$to/${2##*/}"
  fi ;;
download-resource-and-render) die "rendering templates needs python on this host" ;;
operation)
  case ${2-} in
  retry) note "{\"retry\":$(json "${3-}"),\"after\":${4:-null}}"; exit 1 ;;
  *) read_value "operation.$(printf %s "$2" | tr - _)" ;;
  esac ;;
node | instance | source | target | deployment | blueprint | execution-id | workflow-id | tenant-name | capabilities | bootstrap-context)
  path=
  while [ $# -gt 0 ]; do
    word=$(printf %s "$1" | tr - _)
    path=$path${path:+.}$word
    shift
    case $word in
    properties | capabilities) [ $# = 0 ] || { path=$path.$1; shift; }; read_value "$path"; exit ;;
    runtime_properties)
      [ $# -gt 0 ] || die "all runtime properties at once need python on this host"
      if [ $# = 1 ]; then read_value "$path.$1"; else note "{\"set\":\"$path.$1\",\"value\":$(json "$2")}"; fi
      exit ;;
    update | refresh) exit 0 ;;
    esac
  done
  read_value "$path" ;;
*) die "unknown word ${1-}; see Cloudify's documentation of ctx" ;;
esac
