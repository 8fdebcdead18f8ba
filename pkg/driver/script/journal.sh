# The host's side of orch's journal: runs a job once, whatever becomes of the connection. POSIX sh and the usual small tools
# (busybox is enough). Go's side is journal.go, which sends this text, says which verb to run, and reads the frames written here:
#
#   B base              the absolute BASE          T uid tools  facts of the host
#   M digest            a blob the host lacks      K            done
#   S state seconds     of the operation           H            heartbeat: still here
#   O n / E n / V n / P n followed by n bytes: stdout, stderr, exported variables, output file
#   R rc note           the recorded end           F kind text  the journal itself cannot go on
#
#   BASE/blobs/DIGEST    uploaded files by SHA-256   BASE/used/DIGEST  when a blob was last asked for
#   BASE/ops/ID/         run (this text), spec, main, pid, stdout, stderr, exports, outputs, ctx, rc, work/
#
# The commit point is the link "pid": whoever makes it runs the job, so a second launch of the same operation does nothing. What has a pid
# but neither a living process nor an rc was interrupted (reboot, OOM killer) and is never run again under this id. A failure that the host's
# shutdown brought about is an interruption, too, and gets no rc.

frame() { printf '%s\n' "$*"; }

# fail KIND TEXT: ends the verb. A failed write is nearly always a full disk, so df's opinion goes along.
fail() {
  kind=$1; shift
  text=$(printf '%s' "$*" | tr '\n\t' '  ')
  [ "$kind" != write ] || text="$text [df: $(df -P "$base" 2>/dev/null | sed -n '2s/  */ /gp')]"
  frame F "$kind" "$text"
  exit 0
}

find_base() {
  base=$1
  case $base in
  '') if [ "$(id -u)" = 0 ]; then base=/var/lib/orch; else base=${HOME:-$(cd ~ && pwd)}/.orch; fi ;;
  esac
}

# stat_of PID: sets start, sid and ppid; false when there is no such living process.
stat_of() {
  start=- sid=0 ppid=0
  if [ ! -r /proc/self/stat ]; then kill -0 "$1" 2>/dev/null; return; fi
  { IFS= read -r line </proc/"$1"/stat; } 2>/dev/null || return 1
  line=${line##*) }
  set -- $line
  case $1 in Z | X | x) return 1 ;; esac
  ppid=$2 sid=$4 start=${20}
}

boot_id() {
  boot=-
  { IFS= read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || boot=-
}

# recorded: reads the pid file into pid0 start0 boot0 sid0 began; an unreadable one counts as a process that is gone.
recorded() {
  pid0=0 start0=- boot0=- sid0=0 began=0
  IFS=' ' read -r pid0 start0 boot0 sid0 began 2>/dev/null <"$dir/pid" || :
  case $pid0 in '' | *[!0-9]*) pid0=0 ;; esac
  case $began in '' | *[!0-9]*) began=0 ;; esac
}

alive() {
  recorded
  boot_id
  [ "$pid0" -gt 1 ] && [ "$boot0" = "$boot" ] && stat_of "$pid0" && [ "$start" = "$start0" ]
}

state_of() {
  state=new
  if [ -f "$dir/rc" ]; then state=done
  elif [ -f "$dir/pid" ]; then
    state=running
    # A job may end between two looks: only when there is still no rc was it interrupted.
    alive || { [ -f "$dir/rc" ] && state=done || state=interrupted; }
  fi
}

elapsed() {
  recorded
  spent=0
  [ "$began" -eq 0 ] || spent=$(($(date +%s) - began))
}

# durable FILE...: to the disk, so that a power cut cannot make a job that ran look like one that did not.
durable() { sync "$@" 2>/dev/null || sync; }

# --- verbs -----------------------------------------------------------------------------------------------------------------------------

# prepare RETENTION-DAYS; stdin: the digests needed, then a line "."
prepare() {
  err=$(mkdir -p "$base/blobs" "$base/used" "$base/ops" 2>&1) || fail write "$err"
  base=$(cd "$base" && pwd -P) && dir=$base/ops/$op || fail write "cannot enter $base"
  epoch=$base/blobs/.epoch
  if [ ! -f "$epoch" ]; then
    err=$(: 2>&1 >"$epoch") || fail write "$err"
    TZ=UTC0 touch -t 200001010000 "$epoch"
  fi
  [ "$1" = 0 ] || sweep "$1"
  tools=
  for tool in tar sha256sum bash; do command -v $tool >/dev/null 2>&1 && tools="$tools $tool"; done
  frame B "$base"
  frame T "$(id -u)$tools"
  while IFS= read -r digest && [ "$digest" != . ]; do
    # Blobs carry the epoch's time: a newer one was modified in place and is not what its name says.
    if [ -f "$base/blobs/$digest" ] && [ ! "$base/blobs/$digest" -nt "$epoch" ]; then
      : >"$base/used/$digest"
    else
      frame M "$digest"
    fi
  done
  state_of
  elapsed
  frame S "$state" "$spent"
}

# sweep DAYS: forgets operations that ended, and files nobody asked for, so long ago.
sweep() {
  find "$base/ops/." ! -name . -prune -mtime "+$1" 2>/dev/null | while IFS= read -r old; do
    [ "${old##*/}" != "$op" ] || continue
    dir=$base/ops/${old##*/}
    state_of
    [ "$state" = running ] || rm -rf "$dir"
  done
  find "$base/used/." ! -name . -prune -mtime "+$1" 2>/dev/null | while IFS= read -r old; do
    rm -f "$base/blobs/${old##*/}" "$base/used/${old##*/}"
  done
  find "$base/." ! -name . -prune -name 'incoming.*' -mtime +1 -exec rm -rf {} + 2>/dev/null
}

# store DIGEST FILE: takes a complete upload into the blobs.
store() {
  if command -v sha256sum >/dev/null 2>&1; then
    sum=$(sha256sum <"$2") && sum=${sum%% *}
    [ "$sum" = "$1" ] || { rm -f "$2"; fail corrupt "$1 arrived as ${sum:-nothing}"; }
  fi
  err=$(touch -r "$base/blobs/.epoch" "$2" 2>&1 && mv -f "$2" "$base/blobs/$1" 2>&1) || fail write "$err"
  : >"$base/used/$1"
}

# unpack; stdin: a tar of blobs named by their digests.
unpack() {
  in=$base/incoming.$$
  err=$(mkdir -p "$in" 2>&1) || fail write "$err"
  err=$(tar -xf - -C "$in" 2>&1) || { rm -rf "$in"; cat >/dev/null; fail write "$err"; }
  for file in "$in"/*; do store "${file##*/}" "$file"; done
  rmdir "$in"
  frame K
}

# part DIGEST: how much of an interrupted upload is here, -1 for all of it in its place.  append DIGEST SIZE OFFSET; stdin: the bytes from there on.
part() {
  file=$base/incoming.$1 size=0
  if [ -f "$base/blobs/$1" ] && [ ! "$base/blobs/$1" -nt "$base/blobs/.epoch" ]; then size=-1
  elif [ -f "$file" ]; then size=$(wc -c <"$file"); fi
  frame K $((size))
}
append() {
  file=$base/incoming.$1
  [ "$3" != 0 ] || rm -f "$file"
  err=$(cat 2>&1 >>"$file") || { rm -f "$file"; cat >/dev/null; fail write "$err"; }
  commit "$1" "$2"
}
commit() {
  size=$(wc -c <"$base/incoming.$1") || size=-1
  [ $((size)) -eq "$2" ] || fail short "$((size)) of $2 bytes arrived"
  store "$1" "$base/incoming.$1"
  frame K
}

# launch SPEC-LENGTH; stdin: the spec, then the environment as shell text that ends in "#orch-end". The environment is passed on through a
# pipe only: it holds secrets, and neither files nor arguments may.
launch() {
  spec=$(dd bs=1 count="$1" 2>/dev/null)
  payload=$(cat)
  case $payload in *'#orch-end') ;; *) fail cut "the connection ended before everything had arrived" ;; esac
  err=$(mkdir -p "$dir" 2>&1) || fail write "$err"
  if [ ! -f "$dir/pid" ]; then
    rm -f "$dir/launch"
    err=$( { printf '%s\n' "$orch_journal" >"$dir/run.$$" && printf '%s\n' "$spec" >"$dir/spec.$$"; } 2>&1) &&
      [ -s "$dir/run.$$" ] && [ -s "$dir/spec.$$" ] &&
      mv -f "$dir/run.$$" "$dir/run" && mv -f "$dir/spec.$$" "$dir/spec" || { rm -rf "$dir"; fail write "cannot write the journal: $err"; }
    detach
    # setsid -f goes to the background by itself; a job started with "&" would ignore SIGINT for all its life.
    if setsid -f true 2>/dev/null; then
      printf '%s\n' "$payload" | $scope setsid -f sh "$dir/run" wrap "$base" "$op" >/dev/null 2>"$dir/launch"
    elif command -v setsid >/dev/null 2>&1; then
      printf '%s\n' "$payload" | $scope setsid sh "$dir/run" wrap "$base" "$op" >/dev/null 2>"$dir/launch" &
    else
      printf '%s\n' "$payload" | $scope nohup sh "$dir/run" wrap "$base" "$op" >/dev/null 2>"$dir/launch" &
    fi
  fi
  spec= payload=
  follow 0 0
}

# detach: where logind ends a user's processes at logout, the job must leave the session's cgroup. Only root may make a system scope.
detach() {
  scope=
  [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] && command -v systemd-run >/dev/null 2>&1 || return 0
  kills=$(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager KillUserProcesses 2>/dev/null)
  [ "$kills" != 'b true' ] || scope='systemd-run --scope --quiet --collect --'
}

# wrap: the job's own shell, leader of its session; stdin: the environment.
wrap() {
  trap '' HUP
  # Who ends the job through end_job spares this shell: TERM comes to it when the host goes down. The script has its own default again.
  terminated=
  trap 'terminated=1' TERM
  payload=$(cat)
  case $payload in *'#orch-end') ;; *) exit 1 ;; esac
  . "$dir/spec" || exit 1
  boot_id
  stat_of $$ || :
  [ "$sid" = $$ ] || sid=0
  [ -z "$terminated" ] || exit 1
  printf '%s %s %s %s %s\n' $$ "$start" "$boot" "$sid" "$(date +%s)" >"$dir/pid.$$" && [ -s "$dir/pid.$$" ] || exit 1
  if ! ln "$dir/pid.$$" "$dir/pid" 2>/dev/null; then
    # Somebody else runs it, or the file system has no links.
    [ ! -e "$dir/pid" ] && (set -C; cat "$dir/pid.$$" >"$dir/pid") 2>/dev/null || { rm -f "$dir/pid.$$"; exit 0; }
  fi
  rm -f "$dir/pid.$$"
  durable "$dir/pid" "$dir"
  # ctx logs past a script that captures its own output: both append.
  exec </dev/null >>"$dir/stdout" 2>"$dir/stderr"
  # The end must be recordable on a full disk: its block is taken now and overwritten then. So must be what the script exports, which is not known
  # again once the script has ended: that room is given back just before it is written.
  printf '%256s\n' ' ' >"$dir/rc.tmp"
  printf '%65536s\n' ' ' 2>/dev/null >"$dir/room"
  orch_note=ok orch_rc=125
  if place; then
    if [ -e "$dir/cancelled" ]; then orch_rc=143; else run_job || :; fi
  fi
  rm -f "$dir/room"
  [ "$orch_rc" != 0 ] || rm -rf "$dir/work"
  [ ! -e "$dir/cancelled" ] || orch_note=cancelled
  [ "$orch_rc" = 0 ] || [ "$orch_note" = cancelled ] || ! going_down || exit 0
  printf '%s %s\n' "$orch_rc" "$orch_note" 1<>"$dir/rc.tmp"
  mv -f "$dir/rc.tmp" "$dir/rc"
  durable "$dir/rc" "$dir"
}

# going_down: whether a failure is the shutdown's doing. Processes get their TERM one after the other, so the script's may have come first.
going_down() {
  [ -z "$terminated" ] || return 0
  case $orch_rc in
  129 | 137 | 143) sleep 1 ;;
  *) sleep 0.3 2>/dev/null || sleep 1 ;;
  esac
  [ -z "$terminated" ] || return 0
  command -v systemctl >/dev/null 2>&1 && [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]
}

# place: lays the files out as the spec's "units" say: KIND DIGEST MODE PATH, one a line, and "deploy" likewise: PATH TAB DESTINATION.
place() {
  mkdir -p "$dir/work/$cwd" || { orch_note=setup; return 1; }
  while read -r kind digest mode path; do
    [ -n "$kind" ] || continue
    place_unit || { echo "orch: cannot lay out $path" >&2; orch_note=setup; return 1; }
  done <<END
$units
END
  while IFS='	' read -r path dest; do
    [ -n "$path" ] || continue
    [ "$redeploy" = 1 ] || [ ! -e "$dest" ] || continue
    { case $dest in */*) mkdir -p "${dest%/*}" ;; esac && if [ -d "$dir/work/$path" ]; then
      mkdir -p "$dest" && cp -R "$dir/work/$path/." "$dest"; else cp "$dir/work/$path" "$dest"; fi
    } || { echo "orch: cannot deploy $path to $dest" >&2; orch_note=setup; return 1; }
  done <<END
$deploy
END
}

place_unit() {
  to=$dir/work/$path blob=$base/blobs/$digest
  [ -f "$blob" ] || { echo "orch: $blob is gone" >&2; return 1; }
  case $kind in
  tree) mkdir -p "$to" && tar -xmf "$blob" -C "$to" ;;
  *)
    case $to in */*) mkdir -p "${to%/*}" || return 1 ;; esac
    # Big files are linked, not copied: their mode is then the blob's, too.
    if [ "$kind" = big ]; then ln "$blob" "$to" 2>/dev/null || cp "$blob" "$to"; else cp "$blob" "$to"; fi && chmod "$mode" "$to" ;;
  esac
}

# run_job: sets orch_rc. The environment is evaluated last, in the subshell that becomes the script: a variable may have any name, so nothing
# but positional parameters is used after it. The spec's "command" sets them.
run_job() {
  if [ -n "$main" ]; then printf '%s\n' "$main" >"$dir/main" || { orch_note=setup; return 1; }; fi
  (
    cd "$dir/work/$cwd" || exit 125
    umask 022
    ORCH_JOB=$dir ORCH_WORK=$dir/work ORCH_OUTPUTS=$dir/outputs ORCH_OP_ID=$op
    ORCH_CTX_FILE=$dir/ctx
    export ORCH_JOB ORCH_WORK ORCH_OUTPUTS ORCH_OP_ID ORCH_CTX_FILE
    eval "$command"
    eval "$payload" && exec "$@"
    exit 126
  )
  orch_rc=$?
  if [ -f "$dir/exports.tmp" ]; then
    # Written whole, or the disk was full: the last record is the terminator.
    if [ "$(tail -c 2 "$dir/exports.tmp" | tr '\0' .)" = '=.' ]; then mv -f "$dir/exports.tmp" "$dir/exports"
    elif [ "$orch_rc" = 0 ]; then orch_note=exports; fi
  fi
}

# choose NAMES: the first installed interpreter of several, into $interp; its absence is the script's failure.
choose() {
  for interp in "$@"; do command -v "$interp" >/dev/null 2>&1 && return; done
  echo "orch: none of these is installed on this host: $*" >&2
  exit 127
}

# send FRAME FILE OFFSET: everything the file has from there on; sets at.
send() {
  at=$3
  [ -f "$dir/$2" ] || return 0
  size=$(wc -c <"$dir/$2")
  size=$((size))
  while [ "$at" -lt "$size" ]; do
    n=$((size - at))
    [ "$n" -le 262144 ] || n=262144
    frame "$1" "$n"
    tail -c "+$((at + 1))" "$dir/$2" | head -c "$n"
    at=$((at + n)) moved=1
  done
}

# limited FRAME FILE: a whole small file.
limited() {
  [ -f "$dir/$2" ] || return 0
  size=$(wc -c <"$dir/$2")
  size=$((size))
  [ "$size" -le 1048576 ] || { frame X "$2" "$size"; return 0; }
  frame "$1" "$size"
  head -c "$size" "$dir/$2"
}

# follow OUT ERR: sends output from these offsets on until the end, then the end.
follow() {
  out=$1 err=$2 nap=0.02 idle=0
  begun=
  while :; do
    moved=
    state_of
    [ -n "$begun" ] || [ ! -f "$dir/pid" ] || { begun=1; elapsed; frame S "$state" "$spent"; }
    send O stdout "$out"; out=$at
    send E stderr "$err"; err=$at
    case $state in
    done)
      limited V exports
      limited P outputs
      limited C ctx
      IFS=' ' read -r rc note <"$dir/rc"
      frame R "$rc" "$note"
      return ;;
    interrupted)
      survivors
      frame R interrupted "$members"
      return ;;
    new)
      [ ! -s "$dir/launch" ] || fail write "$(head -c 2000 "$dir/launch")"
      [ "$idle" -lt 60 ] || fail launch "the job did not start" ;;
    esac
    if [ -n "$moved" ]; then nap=0.05 idle=0; fi
    sleep "$nap" 2>/dev/null || sleep 1
    idle=$((idle + 1))
    # The heartbeat also ends this loop when the connection is gone.
    [ $((idle % 20)) -ne 0 ] || frame H
    case $nap in 0.02) nap=0.05 ;; 0.05) nap=0.1 ;; 0.1) nap=0.2 ;; *) nap=0.5 ;; esac
  done
}

# survivors: members is what still lives of the job besides its own shell.
survivors() {
  members=
  recorded
  boot_id
  [ "$pid0" -gt 1 ] && [ "$boot0" = "$boot" ] || return 0
  # The number of a session whose members are all gone may be given again.
  if stat_of "$pid0" && [ "$start" != "$start0" ]; then return 0; fi
  if [ "$sid0" -gt 1 ]; then
    # Everything in the job's session, whatever its process group.
    for proc in /proc/[0-9]*; do
      p=${proc#/proc/}
      [ "$p" != "$pid0" ] && stat_of "$p" && [ "$sid" = "$sid0" ] && members="$members $p"
    done
  else
    # No session of its own: its descendants.
    family=" $pid0 " grown=1
    while [ -n "$grown" ]; do
      grown=
      for proc in /proc/[0-9]*; do
        p=${proc#/proc/}
        case $family in *" $p "*) continue ;; esac
        stat_of "$p" || continue
        case $family in *" $ppid "*) family="$family$p " members="$members $p" grown=1 ;; esac
      done
    done
  fi
}

# end_job GRACE-SECONDS: TERM, grace, KILL to all of the job but its own shell, which then records the end.
end_job() {
  state_of
  if [ "$state" = new ]; then
    # A launch may be on its way: taking the commit point ourselves makes it void, unless it is faster.
    mkdir -p "$dir" && (set -C; echo "0 - - 0 0" >"$dir/pid") 2>/dev/null && { echo '143 cancelled' >"$dir/rc"; frame K; return; }
    state_of
  fi
  members= asked=' ' tries=0 signal=TERM last=$(($1 * 5))
  case $state in
  running) : >"$dir/cancelled" ;;
  interrupted) ;;
  *) frame K; return ;;
  esac
  while [ "$state" = running ]; do
    survivors
    for p in $members; do
      # Each is asked once; what it starts later is asked, too.
      case $signal$asked in TERM*" $p "*) continue ;; esac
      asked="$asked$p "
      kill -s "$signal" "$p" 2>/dev/null; kill -s CONT "$p" 2>/dev/null
    done
    [ "$tries" -lt "$last" ] || signal=KILL
    [ "$tries" -lt $((last + 50)) ] || { kill -s KILL "$pid0" 2>/dev/null; break; }
    sleep 0.2 2>/dev/null || { sleep 1; tries=$((tries + 4)); }
    tries=$((tries + 1))
    state_of
  done
  # The shell is gone; what it left in the background goes, too.
  survivors
  for p in $members; do kill -s TERM "$p" 2>/dev/null; done
  tries=0
  while [ -n "$members" ] && [ "$tries" -lt $((last + 25)) ]; do
    [ "$tries" -lt "$last" ] || for p in $members; do kill -s KILL "$p" 2>/dev/null; done
    sleep 0.2 2>/dev/null || { sleep 1; tries=$((tries + 4)); }
    tries=$((tries + 1))
    survivors
  done
  [ -f "$dir/rc" ] || echo '137 cancelled' >"$dir/rc"
  frame K "$members"
}

# --- entry: VERB BASE OP arguments --------------------------------------------------------------------------------------------------------

verb=$1
find_base "$2"
op=$3 dir=$base/ops/$3
shift 3
umask 077
case $verb in
prepare | unpack | part | append | commit | launch | wrap | follow | end_job) "$verb" "$@" ;;
*) frame F usage "$verb" ;;
esac
