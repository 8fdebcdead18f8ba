# Functions that the operations share: start and stop a program in the background and wait for it.
alive() { [ -s pid ] && kill -0 "$(cat pid)" 2>/dev/null; }

start_service() {
	alive && return 0
	setsid python3 service.py "$PORT" >log 2>&1 </dev/null &
	echo $! >pid
	n=0
	until python3 -c "import socket; socket.create_connection(('127.0.0.1', $PORT), 2).close()" 2>/dev/null; do
		alive || { cat log >&2; return 1; }
		n=$((n + 1))
		[ "$n" -lt 60 ] || { echo "no answer on port $PORT" >&2; return 1; }
		sleep 0.25
	done
}

stop_service() {
	alive || return 0
	kill "$(cat pid)"
	while alive; do sleep 0.1; done
}
