package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"golang.org/x/sys/unix"
)

// volume is a sparse file, shown as a loop device while it is attached. The device frees itself (LO_FLAGS_AUTOCLEAR) when
// this process and the last mount let go of it.
type volume struct {
	id, name string
	loop     *os.File
	rdev     uint64
}

func (v *volume) device() spec.Device {
	serial := v.id[:min(len(v.id), 20)] // virtio-blk's serial number has 20 bytes
	return spec.Device{Name: v.name, Major: unix.Major(v.rdev), Minor: unix.Minor(v.rdev), Serial: serial}
}

func (v *volume) close() error {
	if v.loop == nil {
		return nil
	}
	err := v.loop.Close()
	v.loop = nil
	return err
}

func (h *host) volumePath(id string) string { return filepath.Join(h.Dir, "volumes", id+".img") }

func (h *host) AttachVolume(ctx context.Context, serverID string, v Volume, wish string) (string, error) {
	device := ""
	err := h.operate(ctx, serverID, func(s *server) (err error) {
		device, err = s.attach(v, wish)
		if err != nil {
			return fmt.Errorf("cannot attach volume %s to server %s: %w", v.ID, serverID, err)
		}
		return nil
	})
	return device, err
}

func (s *server) attach(v Volume, wish string) (string, error) {
	h := s.host
	h.mu.Lock()
	if old := h.volumes[v.ID]; old != nil {
		mine := slices.Contains(s.volumes, old)
		h.mu.Unlock()
		if mine {
			return "/dev/" + old.name, nil
		}
		return "", errors.New("it is attached to another server")
	}
	name, err := s.deviceName(strings.TrimPrefix(wish, "/dev/"))
	if err != nil {
		h.mu.Unlock()
		return "", err
	}
	vol := &volume{id: v.ID, name: name}
	h.volumes[v.ID] = vol // reserves it
	g := s.guest
	h.mu.Unlock()
	err = vol.open(h.volumePath(v.ID), v.SizeGiB)
	if err == nil && g != nil {
		d := vol.device()
		err = g.ask(spec.Message{Op: spec.OpDevice, Device: &d})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		delete(h.volumes, v.ID)
		_ = vol.close()
		return "", err
	}
	s.volumes = append(s.volumes, vol)
	return "/dev/" + name, nil
}

// deviceName is the wish when it is a free virtio name, else the first free one. vda is the root disk's. host.mu is held.
func (s *server) deviceName(wish string) (string, error) {
	used := func(name string) bool {
		return slices.ContainsFunc(s.volumes, func(v *volume) bool { return v.name == name })
	}
	if len(wish) == 3 && strings.HasPrefix(wish, "vd") && wish[2] > 'a' && wish[2] <= 'z' && !used(wish) {
		return wish, nil
	}
	for c := 'b'; c <= 'z'; c++ {
		if name := "vd" + string(c); !used(name) {
			return name, nil
		}
	}
	return "", errors.New("no device name is left")
}

// open makes the file if need be and a loop device of it.
func (v *volume) open(path string, gib int) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if size := int64(gib) << 30; fi.Size() < size { // new, or extended since
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) && inUserNamespace() {
		return errors.New("volumes need loop devices, which the kernel gives to root only: run the sandbox as root")
	}
	if err != nil {
		return fmt.Errorf("this machine offers no loop devices, which volumes need: %w", err)
	}
	defer ctl.Close()
	for range 50 {
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("this machine has no free loop device: %w", err)
		}
		err = v.bind(f, fmt.Sprintf("/dev/loop%d", n), n)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(10 * time.Millisecond) // somebody else took it first
	}
	return errors.New("all loop devices are taken by others")
}

func (v *volume) bind(f *os.File, path string, n int) error {
	dev, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		// A container's /dev does not follow the kernel; a node of our own does.
		node := filepath.Join(filepath.Dir(f.Name()), fmt.Sprintf("loop%d", n))
		if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))); err != nil {
			return fmt.Errorf("cannot make a loop device, which volumes need: %w", err)
		}
		defer os.Remove(node)
		dev, err = os.OpenFile(node, os.O_RDWR, 0)
	}
	if err != nil {
		return fmt.Errorf("cannot open a loop device, which volumes need: %w", err)
	}
	cfg := unix.LoopConfig{Fd: uint32(f.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(dev.Fd()), &cfg); err != nil {
		_ = dev.Close()
		return fmt.Errorf("cannot set up a loop device: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dev.Fd()), &st); err != nil {
		_ = dev.Close()
		return err
	}
	v.loop, v.rdev = dev, st.Rdev
	return nil
}

func (h *host) DetachVolume(ctx context.Context, serverID, volumeID string) error {
	s, err := h.server(serverID)
	if err != nil {
		return nil
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.end()
	h.mu.Lock()
	i := slices.IndexFunc(s.volumes, func(v *volume) bool { return v.id == volumeID })
	if i < 0 {
		h.mu.Unlock()
		return nil
	}
	v := s.volumes[i]
	s.volumes = slices.Delete(s.volumes, i, i+1)
	delete(h.volumes, volumeID)
	g := s.guest
	h.mu.Unlock()
	if g != nil {
		d := v.device()
		d.Remove = true
		err = g.ask(spec.Message{Op: spec.OpDevice, Device: &d})
	}
	return errors.Join(err, v.close())
}

func (h *host) DeleteVolume(_ context.Context, id string) error {
	h.mu.Lock()
	attached := h.volumes[id] != nil
	h.mu.Unlock()
	if attached {
		return fmt.Errorf("cannot delete volume %s: it is attached", id)
	}
	if err := os.Remove(h.volumePath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot delete volume %s: %w", id, err)
	}
	return nil
}

// detachAll closes the devices of volumes that are still open.
func (h *host) detachAll() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for id, v := range h.volumes {
		errs = append(errs, v.close())
		delete(h.volumes, id)
	}
	return errors.Join(errs...)
}
