package proxy

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

// passive is PASV (RFC 959 §4.1.2).
func (s *session) passive(cmd ftp.Command) error {
	if family(s.clientLeg.peer.Addr()) != 1 {
		return &policy.Refusal{Reason: policy.WrongFamily, Code: 501, Say: "PASV is for IPv4 only, use EPSV.", Why: "PASV on an IPv6 connection"}
	}
	if err := s.rule.PassiveMode(); err != nil {
		return err
	}
	if err := s.negotiable("PASV"); err != nil {
		return err
	}
	return s.forward(exchange{verb: lookup("PASV")}, cmd.Bytes())
}

// extendedPassive is EPSV (RFC 2428 §3). EPSV ALL negotiates nothing, it
// promises that nothing else will be used.
func (s *session) extendedPassive(cmd ftp.Command) error {
	if err := s.rule.PassiveMode(); err != nil {
		return err
	}
	arg := strings.ToUpper(string(bytes.TrimSpace(cmd.Arg)))
	if arg == "ALL" {
		return s.forward(exchange{verb: lookup("EPSV"), arg: arg}, cmd.Bytes())
	}
	if _, err := strconv.ParseUint(arg, 10, 16); arg != "" && err != nil {
		return &policy.Refusal{Reason: policy.Syntax, Code: 501, Say: "EPSV takes a network protocol or ALL.", Why: "EPSV with the argument " + ftp.Quote(cmd.Arg)}
	}
	if arg != "" && arg != fmt.Sprint(family(s.clientLeg.peer.Addr())) {
		return s.wrongFamily("EPSV")
	}
	if err := s.negotiable("EPSV"); err != nil {
		return err
	}
	return s.forward(exchange{verb: lookup("EPSV")}, cmd.Bytes())
}

// passiveReply follows PASV. Whatever address its 227 claims, the data
// connection goes to the server that the control connection goes to.
func (s *session) passiveReply(x exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code/100 != 2 {
		s.accountDecline(x, r)
		return r.Bytes(), nil
	}
	if r.Code != 227 {
		return s.unusable(x, r, fmt.Errorf("PASV was answered with %d", r.Code))
	}
	claimed, err := ftp.FindPassive(r.Text())
	if err != nil {
		return s.unusable(x, r, err)
	}
	return s.expectClient(x, r, claimed.Port(), func(ap netip.AddrPort) []byte { return ftp.AppendPassive(nil, ap) })
}

// extendedPassiveReply follows EPSV.
func (s *session) extendedPassiveReply(x exchange, r *ftp.Reply) ([]byte, error) {
	if r.Code/100 != 2 {
		s.accountDecline(x, r)
		return r.Bytes(), nil
	}
	if x.arg == "ALL" && r.Code != 229 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.onlyEPSV = true
		return r.Bytes(), nil
	}
	if r.Code != 229 || x.arg == "ALL" {
		return s.unusable(x, r, fmt.Errorf("EPSV %s was answered with %d", x.arg, r.Code))
	}
	port, err := ftp.FindExtendedPassive(r.Text())
	if err != nil {
		return s.unusable(x, r, err)
	}
	return s.expectClient(x, r, port, func(ap netip.AddrPort) []byte { return ftp.AppendExtendedPassive(nil, ap.Port()) })
}

// expectClient opens the way from the client to the server's data port and
// announces it; what cannot be opened becomes a 425 in the 227's place.
func (s *session) expectClient(x exchange, r *ftp.Reply, port uint16, render func(netip.AddrPort) []byte) ([]byte, error) {
	if err := policy.DataPort(port); err != nil {
		return s.unusable(x, r, err)
	}
	ch, err := s.open(x.verb.name, &s.clientLeg, &s.serverLeg, netip.AddrPortFrom(s.serverLeg.peer.Addr(), port), 0)
	if err != nil {
		refusal := asRefusal(err)
		s.logRefusal(x.verb.name, refusal)
		s.accountRefusal(x, "", refusal)
		return replyLine(refusal), nil
	}
	s.locked(func() {
		s.dropChannel()
		s.channel = ch
		if s.over != nil || s.clientEOF { // too late: nobody will come
			s.dropChannel()
		}
	})
	line := render(ch.announced)
	s.logAnnounced(x.verb.name, func() string { return fmt.Sprintf("%d %s", r.Code, ftp.Quote(r.Text())) }, line, ch)
	return line, nil
}

// unusable replaces a passive reply that opens nothing (RFC 6384 §6).
func (s *session) unusable(x exchange, r *ftp.Reply, err error) ([]byte, error) {
	refusal := &policy.Refusal{Reason: policy.BadReply, Code: 425, Say: "Can't open data connection.", Why: fmt.Sprintf("the server's %s is unusable: %v", quote(r), err)}
	s.logRefusal(x.verb.name, refusal)
	s.accountRefusal(x, "", refusal)
	return replyLine(refusal), nil
}
