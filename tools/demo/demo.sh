#!/bin/sh
# The demo, with nothing but the commands a user has: start an OpenStack on this machine, deploy the example, ask it, remove it, and show
# that nothing is left. `./task demo` builds what this needs and calls it; KEEP=1 leaves everything running.
#
# All state lies in one directory of its own, so neither your deployments nor your configuration are touched.
set -u

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
cache=${ORCH_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or ORCH_CACHE}/.cache}/orch}
home=$cache/demo
example=examples/01-web-cluster/topology.yaml
began=$(date +%s)

# The demo is about its own OpenStack and its own store, whatever this shell is set up for.
for name in $(env | sed -n 's/^\(OS_[A-Za-z0-9_]*\)=.*/\1/p') ORCH_STORE ORCH_LOCATION ORCH_MASTER_KEY_FILE ORCH_MASTER_KEY_COMMAND; do
  unset "$name"
done
export ORCH_HOME="$home" ORCH_CONFIG="$home/config.yaml"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') off=$(printf '\033[0m'); else bold='' off=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
fail() { printf 'demo: %s\n' "$*" >&2; }
orch() { "$root/bin/orch" "$@"; }

# show prints a command as one would type it, and runs it.
show() {
  printf '%s$ %s%s\n' "$bold" "$*" "$off"
  "$@"
}

# An ordinary user's servers are in a network of their own, which commands are put into; root's are in this machine's.
if [ "$(id -u)" = 0 ]; then inside='' reach=''; else inside='orch sandbox exec -- ' reach='orch sandbox exec --'; fi

# get prints what a URL answers; Go is always there, curl and wget are not.
get() {
  if command -v curl >/dev/null 2>&1; then
    $reach curl --noproxy '*' -sS -f -m 10 "$1"
  elif command -v wget >/dev/null 2>&1; then
    $reach wget --no-proxy -q -T 10 -O - "$1"
  else
    $reach go run ./tools/demo/get "$1"
  fi
}

# remove ends whatever this or an earlier demo left, without a word unless it cannot.
remove() {
  if ! orch sandbox down >"$home/down.log" 2>&1; then
    cat "$home/down.log" >&2
    fail "cannot stop the sandbox of the demo; its files are in $home"
    return 1
  fi
  rm -rf "$home"
}

interrupted=''
trap 'interrupted=1' INT TERM HUP

# give_up is called where a step failed: say so, clean up, leave.
give_up() {
  status=$1
  shift
  [ -n "$interrupted" ] && status=130
  if [ "$status" = 130 ]; then
    fail "interrupted; removing everything"
  elif [ -n "${KEEP:-}" ]; then
    fail "$*; everything is left as it is for a look (KEEP=1):"
    next_steps >&2
    exit "$status"
  else
    fail "$*; removing everything (with KEEP=1 it stays for a look)"
  fi
  trap '' INT
  remove
  exit "$status"
}

# inventory prints how many resources of each kind the cloud has, as one line; nothing when that cannot be told.
inventory() {
  orch sandbox status -o json | tr -d ' \n' | sed -n 's/.*"resources":\({[^}]*}\|null\).*/\1/p'
}

next_steps() {
  cat <<NEXT

  export ORCH_HOME=$home ORCH_CONFIG=$home/config.yaml PATH=$root/bin:\$PATH
  orch status                          # instances, states, addresses
  orch logs                            # what the scripts printed
  orch ssh app 0                       # log in to the first application server
  ${inside}curl "\$(orch outputs --only url)"    # ask the application
  orch undeploy                        # remove it
  orch sandbox down                    # stop the OpenStack, forget everything
NEXT
}

cd "$root" || exit 1
[ -x bin/orch ] || { fail "bin/orch is not built; \`./task demo\` builds it"; exit 1; }

# --- a clean start ------------------------------------------------------------------------------------------------------------------
mkdir -p "$home" || exit 1
if pid=$(cat "$home/demo.pid" 2>/dev/null) && [ "$pid" != $$ ] && grep -q demo.sh "/proc/$pid/cmdline" 2>/dev/null; then
  fail "another demo is running (process $pid)"
  exit 1
fi
if [ -e "$ORCH_CONFIG" ]; then
  printf 'removing what the last demo left\n'
  remove || exit 1
  mkdir -p "$home" || exit 1
fi
echo $$ >"$home/demo.pid"
chmod 700 "$home"
printf '# the demo needs no configuration\nparallel: 16\n' >"$ORCH_CONFIG"

# --- an OpenStack on this machine ---------------------------------------------------------------------------------------------------
title "1. Start an OpenStack inside this machine"
show orch sandbox up || give_up $? "cannot start the sandbox"
if orch sandbox status -o json | grep -q '"machines": *"records only'; then
  give_up 1 "servers cannot run here, for the reason above"
fi
before=$(inventory) && [ -n "$before" ] || give_up 1 "cannot read what the cloud holds"

# --- deploy -------------------------------------------------------------------------------------------------------------------------
title "2. Deploy four servers with Django, PostgreSQL and NGINX"
printf '%s$ head -c 18 /dev/urandom | base64 | orch secrets set db_password%s\n' "$bold" "$off"
head -c 18 /dev/urandom | base64 | orch secrets set db_password || give_up $? "cannot store the secret"
show orch deploy "$example" || give_up $? "the deployment failed"
[ -z "$interrupted" ] || give_up 130

title "3. Ask it"
show orch outputs || give_up $? "cannot read the outputs"
url=$(orch outputs --only url) && [ -n "$url" ] || give_up 1 "the deployment has no output url"
for _ in 1 2 3 4; do
  printf '%s$ %scurl %s%s\n' "$bold" "$inside" "$url" "$off"
  get "$url" || give_up 1 "$url does not answer"
  [ -z "$interrupted" ] || give_up 130
done

if [ -n "${KEEP:-}" ]; then
  title "It stays up (KEEP=1). Try next:"
  next_steps
  rm -f "$home/demo.pid"
  exit 0
fi

# --- remove -------------------------------------------------------------------------------------------------------------------------
title "4. Remove it, and look for anything left"
show orch undeploy || give_up $? "undeploy failed"
show orch sandbox status || give_up $? "cannot look into the sandbox"
after=$(inventory) && [ -n "$after" ] || give_up 1 "cannot read what is left in the cloud"
[ "$after" = "$before" ] || give_up 1 "resources are left in the cloud: $after; before there were: $before"
show orch sandbox down || give_up $? "cannot stop the sandbox"
rm -rf "$home"
printf '\nDemo done in %s s: deployed, answered, removed, nothing left.\n' $(($(date +%s) - began))
