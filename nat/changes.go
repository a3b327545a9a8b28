package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// changeRest gathers what belongs together: a PPP link that comes up is a dozen messages.
	changeRest = 50 * time.Millisecond
	// changeRetry is the time after which a socket that has failed is opened again.
	changeRetry = time.Second
	// changeBufferSize holds any one message about a link, with its statistics and VLANs.
	changeBufferSize = 64 << 10
)

// changeGroups are those of linux/rtnetlink.h: links, addresses, routes and ip rules.
var changeGroups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

// Changes follows what happens to the host's interfaces, addresses and ip rules, and to the routes of tables like ours: a
// lease with another address, a PPP interface that comes and goes. It knows the host's addresses.
type Changes struct {
	log   *zap.Logger
	told  func()
	local atomic.Pointer[map[netip.Addr]bool]
	steer atomic.Bool

	mu     sync.Mutex
	socket *eventSocket // nil: it has failed and is about to be opened again
	shut   chan struct{}
	done   chan struct{}
}

// WatchChanges begins. told is called after each change, or a few at once, when Local knows of it already; it must not
// block. The caller closes the Changes.
func WatchChanges(log *zap.Logger, told func()) (*Changes, error) {
	c := &Changes{log: log, told: told, shut: make(chan struct{}), done: make(chan struct{})}
	var err error
	if c.socket, err = openChanges(); err != nil {
		return nil, err
	}
	if err := c.learn(); err != nil {
		c.socket.close()
		return nil, err
	}
	go c.follow()
	return c, nil
}

// Local tells whether an address is one of an interface of this host.
func (c *Changes) Local(address netip.Addr) bool { return (*c.local.Load())[address] }

// Steered tells whether the host has ip rules that may send clients by different ways; see SourceToward.
func (c *Changes) Steered() bool { return c.steer.Load() }

// Close ends it; told is not called any more when it returns. It may be called again.
func (c *Changes) Close() error {
	c.mu.Lock()
	if c.closed() {
		c.mu.Unlock()
		return nil
	}
	close(c.shut)
	if c.socket != nil {
		c.socket.close()
	}
	c.mu.Unlock()
	<-c.done
	return nil
}

func (c *Changes) follow() {
	defer close(c.done)
	buffer := make([]byte, changeBufferSize)
	for {
		err := c.gather(buffer)
		if c.closed() {
			return
		}
		if err != nil {
			c.log.Error("changes of the network are seen late: they cannot be followed", zap.Error(err))
			if !c.reopen() {
				return
			}
		}
		if err := c.learn(); err != nil {
			c.log.Error("the addresses of this host are not known", zap.Error(err))
		}
		c.told()
	}
}

// gather waits for a change, and a moment for others. That some were lost, the kernel says by ENOBUFS, is a change.
func (c *Changes) gather(buffer []byte) error {
	wait := func() error {
		_, err := c.socket.receive(buffer, true)
		if errors.Is(err, unix.ENOBUFS) {
			return nil
		}
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	c.socket.file.SetReadDeadline(time.Now().Add(changeRest))
	defer c.socket.file.SetReadDeadline(time.Time{})
	for {
		if err := wait(); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// reopen tries until it succeeds, or the Changes are closed.
func (c *Changes) reopen() bool {
	c.mu.Lock()
	c.socket.close()
	c.socket = nil
	c.mu.Unlock()
	for {
		select {
		case <-c.shut:
			return false
		case <-time.After(changeRetry):
		}
		socket, err := openChanges()
		if err != nil {
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed() {
			socket.close()
			return false
		}
		c.socket = socket
		return true
	}
}

func (c *Changes) closed() bool {
	select {
	case <-c.shut:
		return true
	default:
		return false
	}
}

// learn reads the host's addresses, and looks whether it has ip rules of its own.
func (c *Changes) learn() error {
	return withRouteSocket(func(h *netlink.Handle) error {
		found, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_ALL) })
		if err != nil {
			return fmt.Errorf("list the addresses of this host: %w", err)
		}
		local := make(map[netip.Addr]bool, len(found))
		for _, a := range found {
			if address, ok := netip.AddrFromSlice(a.IP); ok {
				local[address.Unmap()] = true
			}
		}
		c.local.Store(&local)
		is, err := steered(h)
		c.steer.Store(is)
		return err
	})
}

func openChanges() (*eventSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for changes of the network: %w", err)
	}
	if err := subscribeChanges(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("subscribe to changes of the network: %w", err)
	}
	file := os.NewFile(uintptr(fd), "changes of the network")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read changes of the network: %w", err)
	}
	return &eventSocket{file: file, raw: raw}, nil
}

func subscribeChanges(fd int) error {
	program := changeFilter()
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return err
	}
	var groups uint32
	for _, g := range changeGroups {
		groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) // to the kernel alone
}

// changeFilter leaves out routes of tables below 256: a router with a full view of the Internet has thousands of changes a
// minute there, and none of them is ours.
func changeFilter() []unix.SockFilter {
	const (
		typeOffset  = 4                       // in struct nlmsghdr
		tableOffset = unix.SizeofNlMsghdr + 4 // rtm_table of struct rtmsg
	)
	var p eventProgram
	p.step(unix.BPF_LD|unix.BPF_H|unix.BPF_ABS, typeOffset)
	p.jump(unix.BPF_JEQ, asLoaded(syscall.RTM_NEWROUTE), toTable, 0)
	p.jump(unix.BPF_JEQ, asLoaded(syscall.RTM_DELROUTE), 0, toPass)
	p.label(toTable)
	p.step(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, tableOffset)
	p.jump(unix.BPF_JEQ, unix.RT_TABLE_COMPAT, toPass, 0)
	p.step(unix.BPF_RET|unix.BPF_K, 0)
	p.label(toPass)
	p.step(unix.BPF_RET|unix.BPF_K, ^uint32(0))
	return p.linked()
}
