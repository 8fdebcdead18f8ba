package guest

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"golang.org/x/sys/unix"
)

// showDevice makes or removes a block device's node and its links, as udev does for virtio disks.
func showDevice(d spec.Device) error {
	node := "/dev/" + d.Name
	byID := "/dev/disk/by-id/virtio-" + d.Serial
	if d.Remove {
		_ = os.Remove(byID)
		if err := os.Remove(node); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("cannot remove %s: %w", node, err)
		}
		return nil
	}
	if err := unix.Mknod(node, unix.S_IFBLK|0o660, int(unix.Mkdev(d.Major, d.Minor))); err != nil && err != unix.EEXIST {
		return fmt.Errorf("cannot make %s: %w", node, err)
	}
	_ = os.Chown(node, 0, 6) // group disk
	if err := os.MkdirAll(filepath.Dir(byID), 0o755); err != nil {
		return err
	}
	_ = os.Remove(byID)
	return os.Symlink("../../"+d.Name, byID)
}

// writeConfigDrive gives the config drive's content as a directory; nothing when there is no drive.
func writeConfigDrive(dir string, files map[string][]byte) error {
	for path, data := range files {
		target := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target, data, 0o400); err != nil {
			return err
		}
	}
	return nil
}
