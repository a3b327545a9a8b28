package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// commandLength is the longest command line that the server reads, in bytes.
	commandLength = 512
	// sessionPatience is how long a session may be silent: longer than any measurement holds one idle.
	sessionPatience = 15 * time.Minute
	// pieceSize is how much is written to a data connection at once, in bytes.
	pieceSize = 256 << 10
)

// serveFiles is the FTP server of the load (RFC 959, 2428): whoever logs in gets files that are made in memory as they
// are sent, and may store what is then thrown away. It serves until ctx ends.
//
// Active data connections come from any port, not from port 20. A gateway lends a few thousand public ports; from one
// source port, the same pair of addresses and ports would come back within a second, while the last one still waits.
func serveFiles(ctx context.Context, listener *net.TCPListener) error {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		control, err := listener.AcceptTCP()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting control connections: %w", err)
		}
		go serveSession(control)
	}
}

// serverSession is one control connection, seen by the server.
type serverSession struct {
	control *net.TCPConn
	in      *bufio.Reader
	out     []byte           // a reply; reused
	scratch []byte           // what is stored goes here; made when first needed
	passive *net.TCPListener // nil unless PASV or EPSV came last
	active  netip.AddrPort   // not valid unless PORT or EPRT came last
}

// errQuit ends a session as it should.
var errQuit = errors.New("QUIT")

// serveSession carries a session to its end. What goes wrong with it, its client sees and tells.
func serveSession(control *net.TCPConn) {
	defer control.Close()
	s := &serverSession{control: control, in: bufio.NewReaderSize(control, commandLength)}
	defer s.forget()
	err := s.reply("220 ", "ftpgate-bench")
	for err == nil {
		control.SetReadDeadline(time.Now().Add(sessionPatience))
		var line []byte
		if line, err = s.in.ReadSlice('\n'); err != nil {
			return
		}
		verb, argument, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		err = s.obey(bytes.ToUpper(verb), argument)
	}
}

// obey carries out one command. Its error ends the session.
func (s *serverSession) obey(verb, argument []byte) error {
	switch string(verb) {
	case "USER":
		return s.reply("331 ", "any password will do")
	case "PASS":
		return s.reply("230 ", "logged in")
	case "TYPE", "NOOP":
		return s.reply("200 ", "good")
	case "PWD":
		return s.reply("257 ", `"/"`)
	case "SYST":
		return s.reply("215 ", "UNIX Type: L8")
	case "PASV", "EPSV":
		return s.listen(string(verb) == "EPSV")
	case "PORT":
		return s.aim(parseHostPort(argument))
	case "EPRT":
		return s.aim(parseExtended(string(argument)))
	case "RETR":
		return s.transfer(string(argument), s.send)
	case "STOR":
		return s.transfer("0", s.discard)
	case "QUIT":
		return errors.Join(s.reply("221 ", "goodbye"), errQuit)
	default:
		return s.reply("502 ", "not in this server")
	}
}

// reply sends a reply of one line.
func (s *serverSession) reply(code, text string) error {
	s.out = append(append(append(s.out[:0], code...), text...), "\r\n"...)
	_, err := s.control.Write(s.out)
	return err
}

// forget drops what the last PASV or PORT prepared.
func (s *serverSession) forget() {
	if s.passive != nil {
		s.passive.Close()
	}
	s.passive, s.active = nil, netip.AddrPort{}
}

// aim answers PORT and EPRT.
func (s *serverSession) aim(to netip.AddrPort, err error) error {
	if err != nil {
		return s.reply("501 ", err.Error())
	}
	s.forget()
	s.active = to
	return s.reply("200 ", "good")
}

// listen answers PASV and EPSV with a port of its own, as servers do.
func (s *serverSession) listen(extended bool) error {
	s.forget()
	local := s.control.LocalAddr().(*net.TCPAddr)
	listener, err := listenPassive(local.IP)
	if err != nil {
		return s.reply("425 ", err.Error())
	}
	s.passive = listener
	port := listener.Addr().(*net.TCPAddr).Port
	if extended {
		s.out = append(s.out[:0], "229 Entering extended passive mode (|||"...)
		s.out = append(strconv.AppendInt(s.out, int64(port), 10), "|)\r\n"...)
	} else {
		address, _ := netip.AddrFromSlice(local.IP)
		s.out = append(s.out[:0], "227 Entering passive mode ("...)
		s.out = append(appendHostPort(s.out, netip.AddrPortFrom(address.Unmap(), uint16(port))), ")\r\n"...)
	}
	_, err = s.control.Write(s.out)
	return err
}

// The passive ports. They are taken in turn, as FTP servers do that have a range: a port that the kernel is to choose
// must not have a connection in TIME-WAIT, and after some ten thousand files there is none such. The range lies below
// that of outgoing connections (makeRoom) and holds no port to which ftpgate lets nobody connect: no well-known service.
const (
	firstPassive = 12000
	lastPassive  = 26999
)

// passivePorts counts the passive ports that were taken, from all sessions.
var passivePorts atomic.Uint32

// listenPassive listens on the next passive port that is free.
func listenPassive(ip net.IP) (*net.TCPListener, error) {
	const passives = lastPassive - firstPassive + 1
	for range passives {
		port := firstPassive + int(passivePorts.Add(1)%passives)
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port})
		if !errors.Is(err, unix.EADDRINUSE) {
			return listener, err
		}
	}
	return nil, errors.New("all passive ports are taken")
}

// connect makes the data connection that was agreed upon.
func (s *serverSession) connect() (*net.TCPConn, error) {
	defer s.forget()
	if s.passive != nil {
		s.passive.SetDeadline(time.Now().Add(patience))
		return s.passive.AcceptTCP()
	}
	return connect(s.active)
}

// transfer answers RETR and STOR. The final reply says how many bytes were carried.
func (s *serverSession) transfer(name string, carry func(*net.TCPConn, file) (int64, error)) error {
	f, err := parseFile(name)
	if err != nil {
		return s.reply("550 ", err.Error())
	}
	if s.passive == nil && !s.active.IsValid() {
		return s.reply("503 ", "PASV or PORT first")
	}
	data, err := s.connect()
	if err != nil {
		return s.reply("425 ", err.Error())
	}
	if err := s.reply("150 ", "here it comes"); err != nil {
		data.Close()
		return err
	}
	n, err := carry(data, f)
	if err := errors.Join(err, data.Close()); err != nil {
		return s.reply("426 ", err.Error())
	}
	s.out = append(strconv.AppendInt(append(s.out[:0], "226 "...), n, 10), " bytes\r\n"...)
	_, err = s.control.Write(s.out)
	return err
}

// send writes a file. One that lasts a time is as long as what left until then.
func (s *serverSession) send(data *net.TCPConn, f file) (sent int64, err error) {
	end := time.Now().Add(f.duration)
	for {
		most := f.length - sent
		if f.duration != 0 {
			most = pieceSize
			if !time.Now().Before(end) {
				return sent, nil
			}
		}
		if most == 0 {
			return sent, nil
		}
		data.SetWriteDeadline(time.Now().Add(patience))
		n, err := data.Write(at(sent, min(most, pieceSize)))
		sent += int64(n)
		if err != nil {
			return sent, err
		}
	}
}

// discard reads what is stored.
func (s *serverSession) discard(data *net.TCPConn, _ file) (got int64, err error) {
	if s.scratch == nil {
		s.scratch = make([]byte, pieceSize)
	}
	for {
		data.SetReadDeadline(time.Now().Add(patience))
		n, err := data.Read(s.scratch)
		got += int64(n)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}
