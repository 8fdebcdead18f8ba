package machine

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// NetworkFault says what is wrong with a server's cables.
type NetworkFault struct {
	// Down: nothing passes, as with the cable out.
	Down bool
	// Loss is how many of 100 packets get lost, in each direction.
	Loss int
}

// InjectNetwork breaks the server's network; what it has running does not notice but by its silence.
func (h *host) InjectNetwork(ctx context.Context, id string, f NetworkFault) error {
	if f.Loss < 0 || f.Loss > 100 {
		return fmt.Errorf("cannot lose %d of 100 packets", f.Loss)
	}
	return h.operate(ctx, id, func(s *server) error {
		h.mu.Lock()
		was := s.broken
		s.broken = f
		h.mu.Unlock()
		err := s.writeFilter()
		if err == nil {
			err = s.setCables()
		}
		if err != nil {
			h.mu.Lock()
			s.broken = was
			h.mu.Unlock()
			return fmt.Errorf("cannot break the network of server %s: %w", id, err)
		}
		return nil
	})
}

// setCables sets the fabric's ends of the server's cables up or down.
func (s *server) setCables() error {
	f := s.host.fabric
	s.host.mu.Lock()
	down := s.broken.Down
	var ports []string
	for id := range s.links {
		ports = append(ports, id)
	}
	s.host.mu.Unlock()
	for _, id := range ports {
		l, err := f.ns.nl.LinkByName(portLink(id))
		if err != nil {
			return err
		}
		set := f.ns.nl.LinkSetUp
		if down {
			set = f.ns.nl.LinkSetDown
		}
		if err := set(l); err != nil {
			return err
		}
	}
	return nil
}

// byChance matches so many of 100 packets.
func byChance(percent int) []expr.Any {
	return []expr.Any{&expr.Numgen{Register: 1, Modulus: 100, Type: unix.NFT_NG_RANDOM},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binary.BigEndian.AppendUint32(nil, uint32(percent))}}
}
