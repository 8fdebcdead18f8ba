# What a host is busy with. Arguments: "cloud-init", "locks" LOCK-FILES -- PROCESS-NAMES, or "boot" for the name of its current boot.
case $1 in
boot)
  id= stat=
  { read -r id </proc/sys/kernel/random/boot_id; read -r stat </proc/1/stat; } 2>/dev/null
  set -f; set -- ${stat##*) }
  # The 22nd field is the start of the process; the two before the name are gone.
  echo "$id ${20}" ;;
cloud-init)
  command -v cloud-init >/dev/null 2>&1 || { echo none; exit 0; }
  out=$(cloud-init status --wait 2>&1); code=$?
  case $out in
  *'invalid choice'*)
    # Before 18.2 there was no such command: the last thing cloud-init did was this file.
    while [ ! -e /var/lib/cloud/instance/boot-finished ]; do sleep 1; done
    echo done; exit 0 ;;
  esac
  [ "$code" -ne 0 ] || { echo done; exit 0; }
  if [ "$code" -eq 2 ] && ! printf '%s' "$out" | grep -q 'status: error'; then echo degraded; else echo error; fi
  cloud-init status --long 2>/dev/null | sed 's/^/status /'
  log=/var/log/cloud-init-output.log
  { cat "$log" 2>/dev/null || sudo -n cat "$log" 2>/dev/null; } | tail -n 20 | sed 's/^/log /'
  ;;
locks)
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    if [ -e "$1" ]; then
      inode=$(ls -id "$1" 2>/dev/null); inode=${inode%%[!0-9 ]*}; inode=$(echo $inode)
      # "1: POSIX ADVISORY WRITE pid major:minor:inode start end"; a waiting one has "->" after its number.
      while read -r _ kind _ _ pid place _; do
        [ "$kind" != '->' ] || continue
        case $place in *:"$inode")
          name=
          { read -r name </proc/"$pid"/comm; } 2>/dev/null
          echo "held $1 by ${name:-a process} (pid $pid)"; exit 0 ;;
        esac
      done 2>/dev/null </proc/locks
    fi
    shift
  done
  [ $# -eq 0 ] || shift
  for proc in /proc/[0-9]*; do
    name=
    { read -r name <"$proc/comm"; } 2>/dev/null || continue
    for busy in "$@"; do
      [ "$name" != "$busy" ] || { read -r stat 2>/dev/null <"$proc/stat"; case ${stat##*) } in Z*) continue ;; esac
        echo "running $name (pid ${proc#/proc/})"; exit 0; }
    done
  done
  echo free
  ;;
esac
