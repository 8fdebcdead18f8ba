package machine_test

import (
	"testing"
)

// A package with dependencies installs from the distribution's mirror.
func TestInstallPackage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot(w.server(5))
	c := w.login(w.float(5), "debian")
	if _, err := tryRun(c, "test -x /usr/bin/apt-get"); err != nil {
		t.Skip("the image has no apt-get")
	}
	if out, err := tryRun(c, "sudo apt-get update -qq"); err != nil {
		t.Skip("the mirror is out of reach: ", out)
	}
	run(t, c, "sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq hello >/dev/null 2>&1")
	if got := run(t, c, "hello -g works"); got != "works" {
		t.Errorf("got %q", got)
	}
}

// Services: units and init scripts by systemctl and service, in the foreground and after a restart.
func TestServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	w.boot(s)
	f := w.float(5)
	c := w.login(f, "debian")
	run(t, c, `sudo tee /etc/systemd/system/app.service >/dev/null <<'EOT'
[Unit]
Description=An application
[Service]
User=debian
Environment="GREETING=hello world" N=2
ExecStartPre=/bin/sh -c 'echo pre >> /var/tmp/log'
ExecStart=/bin/sh -c 'echo "$GREETING ${N} $$(id -un)" >> /var/tmp/log; exec sleep 4715'
ExecReload=/bin/sh -c 'echo reload $MAINPID >> /var/tmp/log'
Restart=on-failure
RestartSec=50ms
[Install]
WantedBy=multi-user.target
EOT
sudo tee /etc/init.d/old >/dev/null <<'EOT'
#!/bin/sh
### BEGIN INIT INFO
# Provides: old
### END INIT INFO
case "$1" in
start|restart) touch /run/old ;;
stop) rm -f /run/old ;;
status) test -e /run/old || exit 3 ;;
*) exit 2 ;;
esac
EOT
sudo chmod +x /etc/init.d/old; sudo systemctl daemon-reload; sudo systemctl enable --now app.service old`)
	for cmd, want := range map[string]string{
		"systemctl is-active app old":                                                "active\nactive",
		"systemctl is-enabled app old":                                               "enabled\nenabled",
		"systemctl show -p ActiveState --value app":                                  "active",
		"head -2 /var/tmp/log":                                                       "pre\nhello world 2 debian",
		"sudo systemctl start missing 2>&1; echo $?":                                 "Failed to start missing.service: Unit missing.service not found.\n5",
		"systemctl stop app 2>&1; echo $?":                                           "Failed to stop: Access denied\n4",
		"sudo service old status; echo $?":                                           "",
		"sudo systemctl stop old; systemctl is-active old || sudo service old start": "inactive",
	} {
		got := run(t, c, cmd)
		if want != "" && got != want {
			t.Errorf("%s: %q, want %q", cmd, got, want)
		}
	}
	run(t, c, "sudo pkill -KILL -f 'sleep 471[5]'")
	eventually(t, "restarted after a failure", func() error { _, err := tryRun(c, "pgrep -f 'sleep 471[5]'"); return err })
	run(t, c, "sudo systemctl reload app; grep -q '^reload [0-9]' /var/tmp/log")
	must(t, w.host.Reboot(t.Context(), s.ID, false))
	c = w.login(f, "debian")
	eventually(t, "enabled services run after a restart", func() error {
		_, err := tryRun(c, "systemctl is-active app && systemctl is-active old")
		return err
	})
	run(t, c, "sudo systemctl disable --now app; ! pgrep -f 'sleep 471[5]'; ! systemctl is-enabled app")
}
