//go:build kernel

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ftpgate/ftpgate/deploy/lab"
	"github.com/ftpgate/ftpgate/deploy/lab/dialogue"
	"github.com/ftpgate/ftpgate/deploy/lab/peers"
	"github.com/ftpgate/ftpgate/proxy/status"
)

// diagnosed waits for the diagnosis with a cause in the log, wants its sentence,
// and wants the same of the status endpoint, and that it was counted.
func (r *router) diagnosed(t *testing.T, mark int, cause, sentence string) {
	t.Helper()
	var last string
	eventually(t, "the diagnosis "+cause, func() bool {
		for _, rec := range r.log.since(mark) {
			if rec.Cause == cause {
				last = rec.Why
			}
		}
		return last != ""
	})
	if !strings.Contains(last, sentence) {
		t.Errorf("%s says %q instead of %q", cause, last, sentence)
	}
	failed := read[status.TransfersJSON](t, r, "/api/v1/transfers?failed=true").Transfers
	if !slices.ContainsFunc(failed, func(v status.TransferJSON) bool {
		return v.Cause == cause && v.Diagnosis == last && len(v.Evidence) > 0
	}) {
		t.Errorf("the API does not tell of %q: %+v", last, failed)
	}
	if n := r.metric(t, fmt.Sprintf("ftpgate_transfer_failures_total{cause=%q}", cause)); n == "" || n == "0" {
		t.Errorf("%s was counted %q times", cause, n)
	}
}

// public is the port that an EPSV of the client has been answered with.
func public(t *testing.T, c *dialogue.Client) (port uint16) {
	t.Helper()
	reply, err := c.Want(229, "EPSV")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(reply.Text()[strings.Index(reply.Text(), "|||"):], "|||%d|", &port); err != nil {
		t.Fatal(err, reply)
	}
	return port
}

// inVain has a host connect to what does not admit it: address/port.
func (r *router) inVain(t *testing.T, host, to string) {
	t.Helper()
	if out, err := r.Host(host).Run(t.Context(), "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+to); err == nil {
		t.Errorf("it was admitted: %s", out)
	}
}

// TestDiagnosis: a data connection that does not come about is explained in one
// sentence, by what the host has really seen.
func TestDiagnosis(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Outside, peers.ServerOptions{TLS: true})
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.start(fmt.Sprintf(usualRules+"firewall: {pinhole_timeout: 3s}\n", "", ""))
	program := "iptables-" + string(r.Variant())
	for _, c := range []struct {
		cause, sentence string
		provoke         func(t *testing.T, r *router)
	}{
		{"never_connected", "The client never connected: a SYN from 203.0.113.20 to 203.0.113.1:", func(t *testing.T, r *router) {
			public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
		}},
		{"from_elsewhere", "came from 203.0.113.66, but the client's control connection comes from 203.0.113.20", func(t *testing.T, r *router) {
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			r.inVain(t, lab.Third, fmt.Sprintf("203.0.113.1/%d", port))
		}},
		{"rewritten_elsewhere", "Another device on the way rewrites too", func(t *testing.T, r *router) {
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			other := port + 1
			if other > 51999 {
				other = port - 1
			}
			r.inVain(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", other))
		}},
		{"dropped", "came through the pinhole and was dropped on this host, at hook forward", func(t *testing.T, r *router) {
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			drop := []string{"FORWARD", "-s", "203.0.113.20", "-d", "192.168.50.20", "-p", "tcp", "!", "--dport", "21", "-j", "DROP"}
			r.run(program, append([]string{"-I"}, drop...)...)
			defer r.run(program, append([]string{"-D"}, drop...)...)
			r.inVain(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", port))
			eventually(t, "the end of the pinhole", func() bool { return len(r.causes("dropped")) > 0 })
		}},
		{"after_expiry", "after its pinhole had expired (firewall.pinhole_timeout)", func(t *testing.T, r *router) {
			mark := len(r.records())
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			r.diagnosed(t, mark, "never_connected", "never connected")
			r.inVain(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", port))
		}},
		{"server_refused", `The server answered "550`, func(t *testing.T, r *router) {
			c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
			if _, err := c.Want(229, "EPSV"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Want(550, "RETR missing"); err != nil {
				t.Fatal(err)
			}
		}},
		{"server_refused", `The server answered "425`, func(t *testing.T, r *router) {
			c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
			// Nobody listens there; this server tries at once, others at the transfer.
			if _, err := c.Want(425, "PORT 192,168,50,10,200,1"); err != nil {
				t.Fatal(err)
			}
		}},
		{"from_elsewhere", "connection came by interface lan0, but the way to 203.0.113.20 is by wan0", func(t *testing.T, r *router) {
			// A host of the LAN takes the address of the client outside.
			for _, scope := range []string{"all", "lan0"} {
				if err := r.Host(lab.Router).SetSysctl("net.ipv4.conf."+scope+".rp_filter", "0"); err != nil {
					t.Fatal(err)
				}
			}
			port := public(t, login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}))
			thief := r.Host(lab.Client)
			if _, err := thief.Run(t.Context(), "ip", "address", "add", "203.0.113.20/32", "dev", "lo"); err != nil {
				t.Fatal(err)
			}
			defer thief.Run(t.Context(), "ip", "address", "del", "203.0.113.20/32", "dev", "lo")
			ctx, cancel := context.WithTimeout(t.Context(), glance)
			defer cancel()
			from, to := netip.MustParseAddrPort("203.0.113.20:0"), netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), port)
			if conn, err := thief.DialFrom(ctx, from, to); err == nil {
				conn.Close()
				t.Error("it was admitted")
			}
		}},
		{"tls", "The control connection turned to TLS and cannot be read", func(t *testing.T, r *router) {
			c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
			if err := c.Secure(&tls.Config{InsecureSkipVerify: true}, false); err != nil {
				t.Fatal(err)
			}
		}},
		{"kernel_helper", "The kernel's own helper (ftp) works on the same control connection", func(t *testing.T, r *router) {
			assign := []string{"PREROUTING", "-i", "wan0", "-p", "tcp", "--dport", "21", "-j", "CT", "--helper", "ftp"}
			r.run(program, append([]string{"-t", "raw", "-A"}, assign...)...)
			defer r.run(program, append([]string{"-t", "raw", "-D"}, assign...)...)
			c := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
			public(t, c)
		}},
		{"syntax", "The client asked for a transfer though its PORT had been refused, so that there was nothing to carry it. The client's command cannot be read", func(t *testing.T, r *router) {
			c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
			if _, err := c.Want(501, "PORT 1,2,3"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the account of the PORT", func() bool { return len(r.causes("syntax")) > 0 })
			if _, err := c.Want(425, "LIST"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the account of the LIST", func() bool { return len(r.causes("syntax")) > 1 })
		}},
		{"foreign_address", "The client announced an address that is not its own: client announced the foreign address 10.9.8.7", func(t *testing.T, r *router) {
			if _, err := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{}).Want(501, "PORT 10,9,8,7,200,1"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.cause, func(t *testing.T) {
			r := r.in(t)
			mark := len(r.records())
			c.provoke(t, r)
			r.diagnosed(t, mark, c.cause, c.sentence)
		})
	}
	r.stop()
}

// TestDiagnosisSoFar: while a client still waits, its pinhole tells what has been
// seen by now, and nothing of that is counted as a failure.
func TestDiagnosisSoFar(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.start(fmt.Sprintf(usualRules, "", ""))
	program := "iptables-" + string(r.Variant())
	told := func(what string, port uint16, holds func(status.PinholeJSON) bool) {
		t.Helper()
		var last []status.PinholeJSON
		eventually(t, what, func() bool {
			last = read[status.PinholesJSON](t, r, "/api/v1/pinholes").Pinholes
			return slices.ContainsFunc(last, func(h status.PinholeJSON) bool {
				return h.Destination == fmt.Sprintf("203.0.113.1:%d", port) && h.State == status.HoleWaits && holds(h)
			})
		})
	}
	c := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
	port := public(t, c)
	at := fmt.Sprintf("203.0.113.1/%d", port)
	told("silence", port, func(h status.PinholeJSON) bool {
		return h.Waited >= 1 && h.Cause == "" && slices.Contains(h.Evidence, "packets at the pinhole: 0") &&
			strings.HasPrefix(h.Diagnosis, "No SYN has come so far: the client's, from 203.0.113.20 to 203.0.113.1:")
	})
	r.inVain(t, lab.Third, at)
	r.inVain(t, lab.Third, at)
	told("a stranger", port, func(h status.PinholeJSON) bool {
		all := strings.Join(h.Evidence, "\n")
		return h.Cause == "from_elsewhere" && strings.Contains(h.Diagnosis, "came from 203.0.113.66") &&
			strings.Contains(all, "refused: SYN from 203.0.113.66:") && strings.Contains(all, "of them in all, the last a SYN from 203.0.113.66:")
	})
	drop := []string{"FORWARD", "-s", "203.0.113.20", "-d", "192.168.50.20", "-p", "tcp", "!", "--dport", "21", "-j", "DROP"}
	r.run(program, append([]string{"-I"}, drop...)...)
	another := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
	port = public(t, another)
	r.inVain(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", port))
	told("a drop", port, func(h status.PinholeJSON) bool {
		return h.Cause == "dropped" && strings.Contains(h.Diagnosis, "was dropped on this host, at hook forward")
	})
	if failed := read[status.TransfersJSON](t, r, "/api/v1/transfers?failed=true").Transfers; len(failed) > 0 {
		t.Errorf("it has been counted already: %+v", failed)
	}
	r.stop()
}

// TestDiagnosisOfSilence: a server's SYN that passes the pinhole and that the
// client's own firewall drops is told as that, by servers that connect at the PORT
// and at the transfer, with the time from the command on.
func TestDiagnosisOfSilence(t *testing.T) {
	for _, c := range []struct {
		kind peers.ServerKind
		ask  func(c *dialogue.Client) (dialogue.Reply, error)
		verb string
	}{
		{peers.Pyftpdlib(), func(c *dialogue.Client) (dialogue.Reply, error) { return c.Cmd("PORT 192,168,50,10,200,1") }, "PORT"},
		{peers.Vsftpd(), func(c *dialogue.Client) (dialogue.Reply, error) {
			if _, err := c.Want(200, "PORT 192,168,50,10,200,1"); err != nil {
				return dialogue.Reply{}, err
			}
			return c.Cmd("LIST")
		}, "LIST"},
	} {
		t.Run(c.kind.Name, func(t *testing.T) {
			r := newRouter(t, lab.Options{})
			r.serve(c.kind, lab.Outside, peers.ServerOptions{})
			if err := r.Host(lab.Outside).SetSysctl("net.ipv4.tcp_syn_retries", "1"); err != nil { // it gives up after 3 s
				t.Fatal(err)
			}
			drop := []string{"-I", "INPUT", "-p", "tcp", "--syn", "-j", "DROP"}
			if out, err := r.Host(lab.Client).Run(t.Context(), "iptables-"+string(r.Variant()), drop...); err != nil {
				t.Fatal(err, out)
			}
			r.start(plain)
			client := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
			reply, err := c.ask(client)
			if err != nil || reply.Code/100 != 4 {
				t.Fatal(reply, err)
			}
			r.diagnosed(t, 0, "unanswered", "The server's SYN came through the pinhole and was led to the client, to 192.168.50.10:51201, which did not answer")
			one := read[status.TransfersJSON](t, r, "/api/v1/transfers?failed=true").Transfers[0]
			if one.Verb != c.verb || one.Duration < 2 || one.Mode != "active" || one.Result != "failed" || !strings.HasPrefix(reply.String(), one.Reply) ||
				!strings.Contains(strings.Join(one.Evidence, "\n"), ", led to 192.168.50.10:51201; answers until ") {
				t.Errorf("%+v", one)
			}
			r.stop()
		})
	}
}

// TestDroppedCounts: a session that ends right behind a data connection that this
// host has dropped says so in its last line.
func TestDroppedCounts(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.start(fmt.Sprintf(usualRules, "", ""))
	r.run("iptables-"+string(r.Variant()), "-I", "FORWARD", "-s", "203.0.113.20", "-d", "192.168.50.20", "-p", "tcp", "!", "--dport", "21", "-j", "DROP")
	c := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{})
	r.inVain(t, lab.Outside, fmt.Sprintf("203.0.113.1/%d", public(t, c)))
	if last := r.quit(t, c); last.Failed != 1 || last.Transfers != 0 {
		t.Errorf("the session's last line: %+v", last)
	}
	r.diagnosed(t, 0, "dropped", "was dropped on this host")
	r.stop()
}

// TestDiagnosisOfThePool: who holds all ports is told to enlarge the range.
func TestDiagnosisOfThePool(t *testing.T) {
	r := newRouter(t, lab.Options{})
	r.serve(peers.Pyftpdlib(), lab.Server, peers.ServerOptions{})
	r.start(fmt.Sprintf(usualRules+"data_ports: 50000-50003\n", "", ""))
	var codes []int
	mark := len(r.records())
	for range 5 { // each of them holds one
		reply, err := login(t, r.Host(lab.Outside), "203.0.113.1:21", dialogue.Options{}).Cmd("EPSV")
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, reply.Code)
	}
	if want := []int{229, 229, 229, 229, 425}; !slices.Equal(codes, want) {
		t.Errorf("%v, not %v", codes, want)
	}
	r.diagnosed(t, mark, "ports_exhausted", "No public port of data_ports was free for this peer: enlarge the range")
	if n := r.metric(t, "ftpgate_data_ports_refused_total"); n != "1" {
		t.Errorf("%s refusals of ports", n)
	}
	if n := r.metric(t, `ftpgate_data_ports{state="lent"}`); n != "4" {
		t.Errorf("%s ports are lent", n)
	}
	r.stop()
}

// TestDiagnosisIsNotHasty: a refusal that comes right behind the data connection,
// before conntrack's event of it has been read, is no packet that was dropped.
func TestDiagnosisIsNotHasty(t *testing.T) {
	const times = 60
	r := newRouter(t, lab.Options{})
	r.serve(peers.Vsftpd(), lab.Outside, peers.ServerOptions{Passive: passiveRange})
	r.start(plain)
	c := login(t, r.Host(lab.Client), "203.0.113.20:21", dialogue.Options{})
	for range times {
		agreed, err := c.Open(dialogue.EPSV)
		if err != nil {
			t.Fatal(err)
		}
		data, err := agreed.Connect()
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Want(550, "RETR missing")
		data.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the accounts", func() bool { return len(r.causes("server_refused")) == times })
	if hasty := r.causes("dropped"); len(hasty) > 0 {
		t.Errorf("%d times: %s", len(hasty), hasty[0].Why)
	}
	r.stop()
}

// causes are the records of one cause.
func (r *router) causes(cause string) (some []record) {
	for _, rec := range r.records() {
		if rec.Cause == cause {
			some = append(some, rec)
		}
	}
	return some
}
