package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/ftpgate/ftpgate/proxy/ftp"
	"github.com/ftpgate/ftpgate/proxy/policy"
)

const (
	// maxErrors bounds the lines of one client that are no FTP.
	maxErrors = 20
	// maxRefusals bounds the refusals of one session; a client that is refused
	// so often does not listen.
	maxRefusals = 1000
	// maxUserName bounds what is kept of a user name for the log, in bytes.
	maxUserName = 256
)

// session is one client's control connection and the one to its server. Two
// goroutines carry it: one reads commands, the other one replies. No other
// session's lock is taken on the way of a line.
type session struct {
	id       uint64
	gw       *Server
	settings *Settings
	rule     *policy.Rule
	log      *zap.Logger

	clientLeg, serverLeg leg
	client, server       *ftp.Conn
	born                 time.Time
	clientAwake          time.Time    // until when the leg is not silent; zero: it rests
	serverAwake          time.Time    // each is its reader's own
	heard                atomic.Int64 // when a line last came from either side, in ns since born

	wires   atomic.Pointer[wires]
	readers atomic.Int32 // goroutines that still carry the session
	reply   ftp.Reply    // of the reader of replies

	mu         sync.Mutex      // guards everything below and each write to the client
	ctx        context.Context // ends with the session; nil until something waits with it
	cancel     context.CancelFunc
	turn       sync.Cond // a reply has been passed on, or the session has ended
	queue      queue
	held       []byte    // replies that leave with the next one, which has come with them: 150 and 226 of a small file
	channel    *channel  // negotiated and not yet taken by a transfer; at most one
	block      *channel  // in MODE B and C: the last one that a transfer has taken
	fading     *channel  // of a transfer that the server has refused; at most one
	declined   *declined // the last negotiation, if it came to nothing
	renewals   *rate.Limiter
	user       string
	lostAt     time.Time // when the address of one of the legs has gone; zero: it is there
	serverVia  string    // the interface of the server's leg, for who asks from outside
	welcome    bool      // the greeting's final reply has passed
	loggedIn   bool
	loginSince time.Time // since when a login is due
	onlyEPSV   bool      // EPSV ALL was accepted (RFC 2428 §3)
	blocks     bool      // MODE B or C: one data connection may carry several files
	image      bool      // TYPE I or L 8
	secured    bool      // 234: the rest is TLS and passes blind
	negotiated bool      // 235: secured by an exchange of RFC 2228 other than TLS, which goes on in lines
	retiring   bool      // the gateway stops: end at the next reply boundary
	clientEOF  bool      // the client has said its last
	farewell   bool      // the server has announced the end: 221 or 421
	errors     int       // lines that were no FTP
	refusals   int
	failures   int // of the login
	tally      tally
	collecting bool // a look at the tally is due
	over       *ending
}

func newSession(g *Server, settings *Settings, id uint64, rule *policy.Rule) *session {
	s := &session{id: id, gw: g, settings: settings, rule: rule, born: time.Now(), log: g.Log}
	s.loginSince = s.born
	s.tally.record = func(t Transfer) { s.recordTransfer(t) }
	s.turn.L = &s.mu
	s.ctx, s.cancel = context.WithTimeout(context.Background(), rule.Timeouts.Connect) // of the dial
	return s
}

// life is a context that ends with the session. An idle session has none.
func (s *session) life() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancel(context.Background())
		if s.over != nil {
			s.cancel()
		}
	}
	return s.ctx
}

// locked runs f with the lock held, and gives it back also after a fault in f:
// who waits for it, and the gateway's stop, must not hang.
func (s *session) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// forget ends the context. s.mu is held.
func (s *session) forget() {
	if s.cancel != nil {
		s.cancel()
	}
	s.ctx, s.cancel = nil, nil
}

// converse begins the dialogue and leaves it to its two readers; the later one
// to end finishes the session. It returns false, with both connections closed,
// if the session was ended meanwhile.
func (s *session) converse(client, server net.Conn) bool {
	if !s.begin(client, server) {
		client.Close()
		server.Close()
		return false
	}
	s.logStart()
	s.gw.journal.begin(s.rule.Name)
	s.readers.Store(2)
	s.rest(s.server, s.replies)
	s.rest(s.client, s.commands)
	return true
}

// rest leaves a leg to a new goroutine that waits for what comes next. The
// stack of the present one has grown with what it did, and would stay so; to
// wait, the smallest is enough.
func (s *session) rest(leg *ftp.Conn, read func() (silent bool)) {
	s.arm(leg)
	s.collect(leg)
	go s.attend(leg, read)
}

// attend waits until something comes by a leg, and has it read until the leg is
// silent again or the session is over. Its frame and those of Await must fit
// into the first stack of a goroutine: thousands of sessions wait in it.
func (s *session) attend(leg *ftp.Conn, read func() (silent bool)) {
	leg.Await()
	if s.reading(read) {
		s.rest(leg, read)
		return
	}
	if s.readers.Add(-1) == 0 {
		s.finish()
	}
}

// reading is what goes on while a leg is not silent.
func (s *session) reading(read func() (silent bool)) bool {
	defer s.rescue()
	return read()
}

// finish is the end of the session once nobody reads lines any more.
func (s *session) finish() {
	w := s.wires.Load()
	defer s.gw.dismiss(s)
	defer w.client.Close()
	defer w.server.Close()
	defer s.rescue()
	if s.secured {
		s.passBlind(w.client, w.server)
	} else {
		drain(w.client)
	}
	s.awaitEvents()
	s.release()
	s.logEnd()
}

// begin joins the two connections, unless the session was ended meanwhile.
func (s *session) begin(client, server net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return false
	}
	s.client, s.server = ftp.NewConn(client, ftp.Limits{}), ftp.NewConn(server, ftp.Limits{})
	s.wires.Store(&wires{client, server})
	s.forget()
	s.queue.push(exchange{verb: greeting})
	return true
}

// await waits, as a command does that may not go on yet, until it is no longer
// blocked. The limits of the session hold meanwhile. s.mu is held.
func (s *session) await(blocked func() bool) error {
	for s.over == nil && blocked() {
		if over := s.overdue(time.Now()); over != nil {
			s.endLocked(*over)
			break
		}
		alarm := time.AfterFunc(max(time.Until(s.deadline()), time.Millisecond), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.turn.Broadcast()
		})
		s.turn.Wait()
		alarm.Stop()
	}
	if s.over != nil {
		return errEnded
	}
	return nil
}

// blind reports whether the rest passes unread.
func (s *session) blind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secured
}

// ended reports whether the session is over.
func (s *session) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over != nil
}

// carried is what all data connections of the session have carried by now.
func (s *session) carried() uint64 {
	sum := s.tally.payload()
	for _, x := range s.queue.waiting {
		if x.data != nil && !x.data.counted {
			bytes, _ := x.data.flow.Payload()
			sum += bytes
		}
	}
	return sum
}

// dropChannel revokes the pinhole that no transfer has taken.
func (s *session) dropChannel() {
	if ch := s.channel; ch != nil {
		s.channel = nil
		doubtful := s.giveUp(ch)
		ch.close()
		if doubtful == nil {
			s.tally.watch(ch, nil)
			return
		}
		s.tally.doubt(ch, doubtful)
		s.collectAtRest(firstCollect)
	}
}

// collect settles what conntrack has told meanwhile of transfers whose last
// reply came by this leg, which rests from now on.
func (s *session) collect(leg *ftp.Conn) {
	if leg == s.server {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.collectAtRest(firstCollect)
	}
}

// firstCollect and lastCollect bound the time between two looks, each twice the
// one before, at data connections that outlast the last reply, in a session in
// which nobody says anything more.
const firstCollect, lastCollect = 200 * time.Millisecond, 30 * time.Second

// collectAtRest needs s.mu.
func (s *session) collectAtRest(pause time.Duration) {
	s.tally.collect()
	if s.tally.settled() || s.collecting {
		return
	}
	s.collecting = true
	time.AfterFunc(pause, func() {
		s.locked(func() {
			s.collecting = false
			s.collectAtRest(min(2*pause, lastCollect))
		})
	})
}

// revoke ends every pinhole of the session. Data connections that run go on.
func (s *session) revoke() {
	s.dropChannel()
	s.closeFading()
	for _, l := range s.tally.late {
		l.close()
	}
	for i := range s.queue.waiting {
		x := &s.queue.waiting[i]
		account := x.account
		if x.account = nil; account != nil {
			how, why := s.leftBehind(x.data)
			s.closeAccount(account, how, "", why)
		}
		if x.data != nil {
			x.data.close()
			s.tally.watch(x.data, account)
		} else {
			s.tally.settleAccount(account, 0)
		}
	}
}

// release gives back all that the session still holds.
func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoke()
	s.queue.waiting = nil
	s.tally.settle()
}

// touch notes that a line has come.
func (s *session) touch() { s.heard.Store(int64(time.Since(s.born))) }

// asRefusal is the one ladder from an error to a reply: a refusal of the
// policy as it is, a line that is no FTP by its own code, everything else is
// temporary and ours.
func asRefusal(err error) *policy.Refusal {
	var refusal *policy.Refusal
	var syntax *ftp.SyntaxError
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &syntax):
		return &policy.Refusal{Reason: policy.Syntax, Code: syntax.Code, Say: syntax.Say, Why: syntax.Why}
	}
	return &policy.Refusal{Reason: policy.Internal, Code: 451, Say: "Requested action aborted: local error.", Why: err.Error()}
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) // and not ETIMEDOUT, which is the end of a dead connection
}

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
