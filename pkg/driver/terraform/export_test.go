package terraform

// SupervisorOf returns the process that supervises the run in a directory.
func SupervisorOf(dir string) (int, bool) {
	p, ok := alive(dir)
	return p.PID, ok
}
