# Sourced as the main program of a shell script ($0), in the shell that runs it: when the script ends, by its last line, by exit or by
# set -e, the variables it exported or was asked for are written to $ORCH_JOB/exports, NUL-terminated. Unchanged variables are left out
# here already, because the environment holds secrets. __orch_asked (names) is set before.
__orch_names() (
  PATH=$__orch_path
  env | LC_ALL=C sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'
)
__orch_path=$PATH __orch_ps=$$
for __orch_n in $(__orch_names); do eval "__orch_v_$__orch_n=\$$__orch_n"; done

__orch_dump() {
  IFS=' 	
'
  (PATH=$__orch_path && exec rm -f "$ORCH_JOB/room")
  {
    for __orch_n in $(__orch_names); do
      case $__orch_n in _ | SHLVL | PWD | OLDPWD | ORCH_* | __orch*) continue ;; esac
      eval "[ -n \"\${$__orch_n+x}\" ] && [ \"\${__orch_v_$__orch_n+x}\${__orch_v_$__orch_n-}\" != \"x\$$__orch_n\" ] && printf '%s=%s\\0' $__orch_n \"\$$__orch_n\""
    done
    for __orch_n in $__orch_asked; do
      eval "[ -n \"\${$__orch_n+x}\" ] && printf '%s=%s\\0' $__orch_n \"\$$__orch_n\""
    done
    printf '=\0'
  } >"$ORCH_JOB/exports.tmp"
}

# True in a subshell, whose end is not the script's.
__orch_sub() {
  if [ -n "${BASH_VERSION-}" ]; then [ "$BASH_SUBSHELL" != 0 ]
  else [ "$(PATH=$__orch_path && exec sh -c 'echo $PPID')" != "$$" ]; fi
}
__orch_end() {
  __orch_rc=$1
  { set +xveuf; } 2>/dev/null
  [ -n "$__orch_done" ] || __orch_sub || { __orch_dump && __orch_done=1; }
  return 0
}

# An EXIT trap of the script's own replaces this one; exit is therefore caught as well.
__orch_done=
trap '__orch_rc=$?; { set +xveuf; } 2>/dev/null; __orch_end "$__orch_rc"' EXIT
__orch_exit() { __orch_end "${1-$?}"; command exit "$__orch_rc"; }
case ${BASH_VERSION:+bash}:${SHELLOPTS-} in
*posix* | :*) alias exit=__orch_exit ;;
*) eval 'exit() { __orch_end "${1-$?}"; builtin exit "$__orch_rc"; }' ;;
esac
. "$0"
__orch_end $?
command exit "$__orch_rc"
