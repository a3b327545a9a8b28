package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftpgate/ftpgate/firewall"
)

const (
	// answerWait bounds the wait for an answer. The kernel works while it takes the message, so that the answer is there
	// at once.
	answerWait = 5 * time.Second
	// sendBuffer, in bytes, holds the largest transaction: every pinhole of a full Manager at once.
	sendBuffer = 8 << 20
	// receiveBuffer holds what the kernel says to a large transaction that fails in every message.
	receiveBuffer = 4 << 20
	// answerSize is what one datagram of the kernel can be, in bytes.
	answerSize = 64 << 10
	// quickSize, in bytes, holds the elements of some twenty pinholes.
	quickSize = 4 << 10
	// slowCall is what only the wait for somebody else takes, and slowFor how long more of that is expected.
	slowCall = time.Millisecond
	slowFor  = time.Second
	// dumpTries bounds the readings that another program's change spoils.
	dumpTries = 10
)

// errChanged: another program changed the rules while they were read.
var errChanged = errors.New("the rules change all the time")

// wire is a lasting netlink socket to nf_tables. It belongs to the network namespace of the thread that dialled it. It
// lasts because closing it waits for a grace period of the kernel, some 15 ms.
type wire struct {
	fd      int
	seq     uint32
	answers []byte

	slowUntil time.Time // see call
}

func dial() (*wire, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	w := &wire{fd: fd, answers: make([]byte, answerSize)}
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer},
		{unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			unix.Close(fd)
			return nil, advise(fmt.Errorf("preparing a netlink socket: %w", err))
		}
	}
	wait := unix.NsecToTimeval(answerWait.Nanoseconds())
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})) // nobody but the kernel can answer
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("preparing a netlink socket: %w", err)
	}
	return w, nil
}

func (w *wire) close() error { return unix.Close(w.fd) }

// commit does all that the batch says, or nothing.
func (w *wire) commit(b *batch) error {
	if b.empty() {
		return nil
	}
	return w.transact(b, true)
}

// rehearse lets the kernel check the batch without doing anything.
func (w *wire) rehearse(b *batch) error { return w.transact(b, false) }

func (w *wire) transact(b *batch, really bool) error {
	first := w.seq + 1
	last := w.seq + uint32(len(b.starts))
	w.seq = last + 1
	b.number(first)
	data := b.data
	if really {
		data = append(data, end(w.seq)...)
	}
	if err := w.send(data); err != nil {
		return err
	}
	var refused error
	for {
		done := false
		err := w.receive(func(h header, body []byte) error {
			if h.kind != unix.NLMSG_ERROR || h.seq-first > last-first {
				return nil
			}
			if code := errno(body); code != 0 && refused == nil {
				refused = fmt.Errorf("%s: %w", b.doing[h.seq-first], code)
			}
			done = done || h.seq == last || refused != nil && errors.Is(refused, unix.ERESTART) // it looked no further
			return nil
		})
		switch {
		case err != nil && refused != nil: // the rest does not matter, nor is it sure to come
			return advise(refused)
		case err != nil:
			return err
		case done:
			return advise(refused)
		}
	}
}

// dump asks for everything of a kind. each sees the family and the attributes of one object; they are overwritten after
// it has returned.
func (w *wire) dump(kind uint16, fam byte, attrs func(*batch), each func(fam byte, attrs []byte) error) error {
	w.seq++
	q := &batch{}
	q.message(kind, unix.NLM_F_DUMP, fam, "")
	if attrs != nil {
		attrs(q)
	}
	q.seal()
	binary.NativeEndian.PutUint32(q.data[8:], w.seq)
	if err := w.send(q.data); err != nil {
		return err
	}
	var changed error
	for done := false; !done; {
		err := w.receive(func(h header, body []byte) error {
			if h.seq != w.seq {
				return nil
			}
			if h.flags&unix.NLM_F_DUMP_INTR != 0 {
				changed = errChanged
			}
			switch h.kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done = true
				if code := errno(body); code != 0 {
					return code
				}
				return nil
			}
			return each(body[0], body[4:])
		})
		if err != nil {
			return err
		}
	}
	return changed
}

// generation is the number that the kernel raises by one with each transaction on this namespace's rules, whoever makes
// it. Elements that a packet uses up or that end by themselves do not count.
func (w *wire) generation() (id uint32, err error) {
	w.seq++
	q := &batch{}
	q.message(unix.NFT_MSG_GETGEN, 0, unix.AF_UNSPEC, "")
	q.seal()
	binary.NativeEndian.PutUint32(q.data[8:], w.seq)
	if err := w.send(q.data); err != nil {
		return 0, err
	}
	for id == 0 {
		err = w.receive(func(h header, body []byte) error {
			switch {
			case h.seq != w.seq:
			case h.kind == unix.NLMSG_ERROR:
				return fmt.Errorf("asking nf_tables for its generation: %w", errno(body))
			default:
				id = u32(find(body[4:], unix.NFTA_GEN_ID))
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return id, nil
}

// undisturbed reads by means of dumps, anew when another program's change came between.
func undisturbed(read func() error) (err error) {
	for range dumpTries {
		if err = read(); !errors.Is(err, errChanged) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return err
}

func (w *wire) send(data []byte) error {
	for {
		_, err := w.call(unix.SYS_SENDTO, data, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: asking nf_tables: %w", firewall.ErrUnavailable, os.NewSyscallError("sendto", err))
		}
		return nil
	}
}

type header struct {
	kind, flags uint16
	seq         uint32
}

// receive takes one datagram and shows its messages.
func (w *wire) receive(each func(header, []byte) error) error {
	n, err := w.answer()
	for err == unix.EINTR {
		n, err = w.answer()
	}
	if err != nil {
		return fmt.Errorf("%w: waiting for nf_tables: %w", firewall.ErrUnavailable, os.NewSyscallError("recvfrom", err))
	}
	for data := w.answers[:n]; len(data) >= unix.SizeofNlMsghdr; {
		size := int(binary.NativeEndian.Uint32(data))
		if size < unix.SizeofNlMsghdr+4 || size > len(data) {
			return fmt.Errorf("nf_tables sent a message of %d bytes in %d", size, len(data))
		}
		h := header{
			kind:  binary.NativeEndian.Uint16(data[4:]),
			flags: binary.NativeEndian.Uint16(data[6:]),
			seq:   binary.NativeEndian.Uint32(data[8:]),
		}
		if err := each(h, data[unix.SizeofNlMsghdr:size]); err != nil {
			return err
		}
		data = data[min(len(data), (size+3)&^3):]
	}
	return nil
}

// call is sendto(2) or recvfrom(2). A transaction of a pinhole takes the kernel some 15 µs, and its answer is there when it
// returns. To tell Go's scheduler of such a call, as of one that may take long, would wake a thread that takes as long
// again, for each file of a session. The price: where another program's transaction must end first, this processor stands
// still for the milliseconds that it takes, and the daemon with it if memory is collected just then. So the scheduler is
// told of large transactions, for some time after a slow one, and where there is only one processor.
func (w *wire) call(number uintptr, p []byte, flags uintptr) (n int, err error) {
	begin := time.Now()
	system := unix.RawSyscall6
	if number == unix.SYS_SENDTO && len(p) > quickSize || begin.Before(w.slowUntil) || runtime.GOMAXPROCS(0) == 1 {
		system = unix.Syscall6
	}
	r, _, errno := system(number, uintptr(w.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
	runtime.KeepAlive(p) // on the heap, which does not move
	if end := time.Now(); end.Sub(begin) > slowCall {
		w.slowUntil = end.Add(slowFor)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// answer takes one datagram. As a rule it is there.
func (w *wire) answer() (n int, err error) {
	if n, err = w.call(unix.SYS_RECVFROM, w.answers, unix.MSG_DONTWAIT); err == unix.EAGAIN {
		n, err = unix.Read(w.fd, w.answers)
	}
	return n, err
}

// errno is the error that a message says, 0: none.
func errno(body []byte) unix.Errno { return unix.Errno(-int32(binary.NativeEndian.Uint32(body))) }

// advise says what is to be done about an error that every other request would meet as well.
func advise(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("run ftpgate as root or with CAP_NET_ADMIN; a table that another program owns cannot be "+
			"changed by anybody else: %w", err)
	}
	return err
}
