package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/ftpgate/ftpgate/firewall"
	"github.com/ftpgate/ftpgate/nat"
	"github.com/ftpgate/ftpgate/proxy"
)

// refusedGroup is the NFLOG group that packets for lent ports go to which no
// pinhole has admitted. Programs that log by NFLOG use low numbers.
const refusedGroup = 7021

// witnessTime bounds the questions about one failed transfer.
const witnessTime = time.Second

// witness is what the host has seen of a data connection that did not come.
type witness struct {
	pinholes *firewall.Manager
	flows    *nat.Flows
	routes   *nat.Routes
	refused  *nat.Refused // nil: the kernel does not tell
}

func (w witness) Seen(holes ...firewall.Hole) map[uint64]uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), witnessTime)
	defer cancel()
	packets, _ := w.pinholes.Seen(ctx, holes...) // what could not be asked is not known
	return packets
}

func (w witness) Refused(since time.Time) []proxy.RefusedPacket {
	if w.refused == nil {
		return nil
	}
	var all []proxy.RefusedPacket
	for _, p := range w.refused.Since(since) {
		all = append(all, proxy.RefusedPacket{At: p.Time, Interface: p.Interface, Source: p.Source, Destination: p.Destination})
	}
	return all
}

func (w witness) Helper(source, destination netip.AddrPort) string {
	return w.flows.Helper(source, destination)
}

// Unforwarded looks at what the kernel decides before any rule: whether it
// forwards at all, and whether it knows a way.
func (w witness) Unforwarded(h firewall.Hole) string {
	setting := "net.ipv4.ip_forward"
	if !h.Is4() {
		setting = "net.ipv6.conf.all.forwarding"
	}
	if value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(setting, ".", "/")); err == nil && strings.TrimSpace(string(value)) == "0" {
		return setting + " is 0 (sysctl -w " + setting + "=1)"
	}
	to := h.Onward().Addr()
	if local, via, err := w.routes.Delivery(to); err == nil && !local && via == "" {
		return fmt.Sprintf("this host has no route to %s", to)
	}
	return ""
}
