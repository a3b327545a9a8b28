package proxy

import (
	"errors"
	"net/netip"
	"strconv"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// ftpDataPort is where RFC 959 §3.2 lets a server's data connections come from.
const ftpDataPort = 20

// port is PORT (RFC 959 §4.1.2).
func (s *session) port(cmd ftp.Command) error {
	claimed, err := ftp.ParsePort(cmd.Arg)
	if err != nil {
		return err
	}
	if family(s.clientLeg.peer.Addr()) != 1 {
		return &policy.Refusal{Reason: policy.WrongFamily, Code: 501, Say: "PORT is for IPv4 only, use EPRT.", Why: "PORT on an IPv6 connection"}
	}
	return s.activate(cmd, claimed, func(b []byte, ap netip.AddrPort) []byte {
		return ftp.AppendPort(append(b, "PORT "...), ap)
	})
}

// extendedPort is EPRT (RFC 2428 §2).
func (s *session) extendedPort(cmd ftp.Command) error {
	claimed, err := ftp.ParseExtendedPort(cmd.Arg)
	if errors.Is(err, ftp.ErrFamily) || err == nil && family(claimed.Addr()) != family(s.clientLeg.peer.Addr()) {
		return s.wrongFamily("EPRT")
	}
	if err != nil {
		return err
	}
	return s.activate(cmd, claimed, func(b []byte, ap netip.AddrPort) []byte {
		return ftp.AppendExtendedPort(append(b, "EPRT "...), ap)
	})
}

// wrongFamily is the 522 of RFC 2428 §2 with the one family that this control
// connection has.
func (s *session) wrongFamily(verb string) error {
	only := strconv.Itoa(family(s.clientLeg.peer.Addr()))
	return &policy.Refusal{Reason: policy.WrongFamily, Code: 522, Say: "Network protocol not supported, use (" + only + ")", Why: verb + " names another address family than the control connection's"}
}

// activate opens the way from the server to the client and announces it. The
// pinhole is in place before the command leaves: a pipelined RETR may make the
// server dial before its 200 has been read here.
func (s *session) activate(cmd ftp.Command, claimed netip.AddrPort, render func([]byte, netip.AddrPort) []byte) error {
	if err := s.rule.ActiveMode(); err != nil {
		return err
	}
	if err := s.negotiable(cmd.Verb); err != nil {
		return err
	}
	listening, err := s.rule.Endpoint(claimed, s.clientLeg.peer.Addr())
	if err != nil {
		return err
	}
	var sourcePort uint16
	if s.rule.ActiveSourcePort20 {
		sourcePort = ftpDataPort
	}
	ch, err := s.open(cmd.Verb, &s.serverLeg, &s.clientLeg, listening, sourcePort)
	if err != nil {
		return err
	}
	s.locked(func() { s.channel = ch })
	line := append(render(nil, ch.announced), "\r\n"...)
	s.logAnnounced(cmd.Verb, func() string { return ftp.Quote(cmd.Line) }, line, ch)
	return s.forward(exchange{verb: lookup(cmd.Verb), data: ch}, line)
}

// portReply follows PORT and EPRT: what the server refuses loses its pinhole
// at once.
func (s *session) portReply(x exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code/100 > 3 {
		s.accountDecline(x, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		x.data.close()
		if s.channel == x.data {
			s.dropChannel()
		}
	}
	return r.Bytes(), nil
}
