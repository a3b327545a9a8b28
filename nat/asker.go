package nat

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// askAtOnce bounds the questions of one message. Each answer takes about a kilobyte of
// the socket's queue.
const askAtOnce = 64

// asker asks conntrack for many entries at once, with two system calls for the first
// and one for each further: where files are small, the last counters of each connection
// are asked for. It is used by one goroutine.
type asker struct {
	fd       int
	seq      uint32
	question []byte
	answer   []byte
}

func openAsker() (*asker, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket for conntrack: %w", err)
	}
	timeout := unix.NsecToTimeval(netlinkTimeout.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	if err == nil { // nobody but the kernel can answer a connected socket
		err = unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("prepare a netlink socket for conntrack: %w", err)
	}
	return &asker{fd: fd, answer: make([]byte, eventBufferSize)}, nil
}

func (a *asker) close() { unix.Close(a.fd) }

// ask shows the entry of each handle, by its place, that conntrack still has. What it
// shows is overwritten after each has returned.
func (a *asker) ask(handles []handle, each func(i int, e entry)) error {
	for from := 0; from < len(handles); from += askAtOnce {
		some := handles[from:min(from+askAtOnce, len(handles))]
		if err := a.askSome(some, func(i int, e entry) { each(from+i, e) }); err != nil {
			return fmt.Errorf("ask conntrack for %d connections: %w", len(some), err)
		}
	}
	return nil
}

func (a *asker) askSome(handles []handle, each func(i int, e entry)) error {
	first := a.seq + 1
	a.question = a.question[:0]
	for _, h := range handles {
		a.seq++
		length := unix.SizeofNlMsghdr + nl.SizeofNfgenmsg + len(h.attributes)
		a.question = binary.NativeEndian.AppendUint32(a.question, uint32(length))
		a.question = binary.NativeEndian.AppendUint16(a.question, ctMessage(nl.IPCTNL_MSG_CT_GET))
		a.question = binary.NativeEndian.AppendUint16(a.question, unix.NLM_F_REQUEST)
		a.question = binary.NativeEndian.AppendUint32(a.question, a.seq)
		a.question = binary.NativeEndian.AppendUint32(a.question, 0)
		a.question = append(a.question, h.family, nl.NFNETLINK_V0, 0, 0)
		a.question = append(a.question, h.attributes...) // whose length is a multiple of 4
	}
	if _, err := unix.Write(a.fd, a.question); err != nil {
		return os.NewSyscallError("write", err)
	}
	// To each question there is one answer: the entry, or the error that there is none.
	for answered := 0; answered < len(handles); {
		n, err := unix.Read(a.fd, a.answer)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		if n < unix.SizeofNlMsghdr {
			continue
		}
		kind, seq := binary.NativeEndian.Uint16(a.answer[4:]), binary.NativeEndian.Uint32(a.answer[8:])
		if i := seq - first; i < uint32(len(handles)) {
			answered++
			if kind == unix.NLMSG_ERROR {
				continue
			}
			if e, ok := parseEntry(a.answer[unix.SizeofNlMsghdr:n]); ok {
				each(int(i), e)
			}
		}
	}
	return nil
}
