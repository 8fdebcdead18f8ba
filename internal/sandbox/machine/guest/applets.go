package guest

// Applets are the commands that this binary stands in for inside a server; a name without slash goes to /usr/bin.
var Applets = []string{"systemctl", "cloud-init", "/usr/sbin/reboot", "/usr/sbin/poweroff", "/usr/sbin/halt", "/usr/sbin/shutdown", "/usr/sbin/service", "/usr/sbin/runlevel", "/usr/sbin/init",
	"/usr/sbin/telinit", "journalctl"}
