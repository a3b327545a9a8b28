package firewall

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	// spentDelay gathers the removal of used holes: on iptables-nft each transaction that deletes waits some 25 ms for
	// the kernel's RCU, however much it deletes.
	spentDelay = time.Second
	// maxClosing and shutPatience bound what gathers while opens never cease; then the shuts ride in the transaction of
	// the next opens. More rules than this cost more, with every open, than the wait.
	maxClosing   = 256
	shutPatience = 2 * time.Second
	// verifyPatience is how much longer than VerifyEvery opens may keep a look at the host's rules waiting.
	verifyPatience = 2 * time.Second
	// retryShut is the time after which a removal that failed is tried again; Verify may be quicker.
	retryShut = 2 * time.Second
)

// task is what the worker does next; nil: wait.
type task func()

// work is the goroutine that does what falls due by itself and what has gathered. It ends after Stop, or when the first
// Install fails. It begins and ends with busy held.
func (w *worker) work(installed chan<- error) {
	err := w.start()
	if err == nil {
		<-w.busy
		installed <- nil
		w.loop()
	}
	w.stopErr = w.finish()
	close(w.gone)
	if err != nil {
		installed <- errors.Join(err, w.stopErr)
	}
}

// worker is the Manager as who holds busy sees it: fields that nobody else reads.
type worker struct {
	*Manager
	frame    Frame
	verified time.Time         // the last try, good or bad
	retry    time.Time         // no shut before this moment
	said     map[string]string // the last error that was logged, by what was being done
}

func (w *worker) start() error {
	if err := w.backend.Install(w.frame); err != nil {
		w.trouble("installing", err)
		return fmt.Errorf("installing the static rules: %w", err)
	}
	w.sound()
	w.tellGuards()
	return nil
}

// tellGuards says what a gateway's guard closes, since nobody else's rules show it.
func (w *worker) tellGuards() {
	g, guards := w.backend.(Guard)
	if !w.frame.Gateway.Forward || !guards {
		return
	}
	if closed := g.Guards(); len(closed) > 0 {
		w.log.Info("forwarding is on and the host's own rules leave the WAN open: what comes from there and no pinhole or translation admits is dropped",
			zap.Strings("guarded", closed))
		return
	}
	w.log.Info("forwarding is on and the host's own rules decide what may come from the WAN")
}

func (w *worker) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.busy <- struct{}{}
		do, pause, stop := w.next(time.Now())
		if stop {
			return
		}
		if do != nil {
			do()
		}
		<-w.busy
		if do != nil {
			continue
		}
		timer.Reset(pause)
		select {
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// next decides. The order is the promise of the package: a wish to open comes first, except before what has been kept
// waiting by opens for longer than its patience.
func (w *worker) next(now time.Time) (do task, pause time.Duration, stop bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire(now)
	verify := w.verified.Add(w.opts.VerifyEvery)
	ending := w.unasked(now)
	switch {
	case w.phase == stopping:
		return nil, 0, true
	case len(ending) > 0:
		return func() { w.ask(ending) }, 0, false
	case len(w.reframes) > 0:
		return w.reframe, 0, false
	case !now.Before(verify.Add(verifyPatience)):
		return func() { w.verify() }, 0, false
	case len(w.waiting) > 0:
		return w.openWaiting, 0, false
	case w.shutsDue(now):
		return w.shutAll, 0, false
	case !now.Before(verify):
		return func() { w.verify() }, 0, false
	}
	pause = w.pause(now, verify)
	w.asleep = now.Add(pause)
	return nil, pause, false
}

// openNow is next for who has come to open: false if the worker has something to do that goes before.
func (w *worker) openNow(now time.Time) bool {
	w.mu.Lock()
	free := w.phase == running && len(w.reframes) == 0 && len(w.waiting) > 0 &&
		now.Before(w.verified.Add(w.opts.VerifyEvery+verifyPatience))
	w.mu.Unlock()
	if free {
		w.openWaiting()
	}
	return free
}

// pause is the time until something falls due by itself.
func (w *worker) pause(now, verify time.Time) time.Duration {
	until := verify
	earlier := func(t time.Time) {
		if t.Before(until) {
			until = t
		}
	}
	if first := w.order.Front(); first != nil {
		earlier(first.Value.(*Lease).hole.Expires)
	}
	if _, counts := w.backend.(Counter); counts {
		if due, any := w.nextAsk(); any {
			earlier(due)
		}
	}
	switch {
	case len(w.urgent) > 0:
		earlier(w.retry)
	case len(w.spent) > 0:
		due := w.spent[0].since.Add(spentDelay)
		if due.Before(w.retry) {
			due = w.retry
		}
		earlier(due)
	}
	return until.Sub(now)
}

// shutsDue tells whether there is something to remove while no open waits.
func (w *worker) shutsDue(now time.Time) bool {
	if now.Before(w.retry) {
		return false
	}
	return len(w.urgent) > 0 || len(w.spent) >= maxClosing ||
		len(w.spent) > 0 && now.Sub(w.spent[0].since) >= spentDelay
}

// overdue tells whether the shuts have been kept waiting by opens for too long, and so ride along.
func (w *worker) overdue(now time.Time) bool {
	if now.Before(w.retry) {
		return false
	}
	for _, list := range [][]ending{w.urgent, w.spent} {
		if len(list) > 0 && now.Sub(list[0].since) >= shutPatience {
			return true
		}
	}
	return len(w.urgent)+len(w.spent) >= maxClosing
}

func (w *worker) shutAll() {
	w.mu.Lock()
	shuts := w.closing()
	w.mu.Unlock()
	w.shut(shuts)
}

// closing empties both lists. The caller holds m.mu.
func (w *worker) closing() []Hole {
	shuts := make([]Hole, 0, len(w.urgent)+len(w.spent))
	for _, list := range [][]ending{w.urgent, w.spent} {
		for _, s := range list {
			shuts = append(shuts, s.hole)
		}
	}
	w.urgent, w.spent = nil, nil
	clear(w.leaving)
	return shuts
}

func (w *worker) shut(shuts []Hole) {
	if err := w.apply(nil, shuts); err != nil {
		w.trouble("removing pinholes", err, zap.Int("pinholes", len(shuts)))
		now := time.Now()
		w.mu.Lock()
		for _, h := range shuts {
			w.queue(&w.urgent, ending{h, now})
		}
		w.mu.Unlock()
		w.retry = now.Add(retryShut)
	}
}

func (w *worker) apply(open, shut []Hole) error {
	err := w.backend.Apply(open, shut)
	w.mu.Lock()
	w.stats.Transactions++
	w.mu.Unlock()
	return err
}

// verify lets the backend look at the host's rules and reports whether something was put right. What is over is removed
// before, and not asked for even if that failed: a spent pinhole whose rules were written anew would admit once more.
func (w *worker) verify() (acted bool, err error) {
	w.mu.Lock()
	shuts, holes := w.closing(), w.holes()
	w.mu.Unlock()
	if len(shuts) > 0 {
		w.shut(shuts)
	}
	found, err := w.backend.Verify(holes)
	w.verified = time.Now()
	if err != nil { // of what was found, a part may have been repaired
		w.trouble("verifying the firewall rules", err, zap.Strings("found", slices.Concat(found.Repaired, found.Followed)))
		return found.Any(), err
	}
	w.sound()
	if len(found.Followed) > 0 {
		w.log.Info("the host's own firewall rules have changed: ours fit them again",
			zap.String("backend", w.backend.Name()), zap.Strings("why", found.Followed))
	}
	if len(found.Repaired) == 0 {
		return found.Any(), nil
	}
	w.mu.Lock()
	w.stats.Repairs += uint64(len(found.Repaired))
	w.mu.Unlock()
	w.log.Warn("another program changed our firewall rules: repaired",
		zap.String("backend", w.backend.Name()), zap.Strings("why", found.Repaired))
	return true, nil
}

// sound notes that the host has what it should have.
func (w *worker) sound() {
	w.verified = time.Now()
	w.said = nil
	w.mu.Lock()
	w.stats.VerifiedAt = w.verified
	w.mu.Unlock()
}

// trouble notes an error of the backend; one that repeats itself every few seconds is logged once.
func (w *worker) trouble(doing string, err error, fields ...zap.Field) {
	w.mu.Lock()
	w.stats.LastError = fmt.Sprintf("%s: %v", doing, err)
	w.stats.LastErrorAt = time.Now()
	said := w.said[doing] == err.Error()
	w.mu.Unlock()
	if w.said == nil {
		w.said = map[string]string{}
	}
	w.said[doing] = err.Error()
	if !said {
		w.log.Error(doing, append(fields, zap.String("why", err.Error()))...)
	}
}

func (w *worker) reframe() {
	w.mu.Lock()
	r := w.reframes[0]
	w.reframes = w.reframes[1:]
	w.mu.Unlock()
	if r.err = w.backend.Install(r.frame); r.err == nil {
		w.frame = r.frame
		w.tellGuards()
	} else {
		r.err = fmt.Errorf("replacing the static rules: %w", r.err)
		if err := w.backend.Install(w.frame); err != nil {
			r.err = errors.Join(r.err, fmt.Errorf("returning to the former ones: %w", err))
		}
		w.trouble("replacing the static rules", r.err)
	}
	w.verify()
	close(r.ready)
}

// finish ends everything that waits and leaves no trace.
func (w *worker) finish() error {
	w.mu.Lock()
	w.phase = stopping
	for _, r := range w.waiting {
		w.fail(r, ErrStopped)
	}
	w.waiting = nil
	for _, r := range w.reframes {
		r.err = ErrStopped
		close(r.ready)
	}
	w.reframes = nil
	for _, l := range w.open {
		w.take(l)
		l.end()
	}
	w.urgent, w.spent = nil, nil
	w.mu.Unlock()
	if err := w.backend.Remove(); err != nil {
		w.trouble("removing the firewall rules", err)
		return fmt.Errorf("removing the firewall rules: %w", err)
	}
	return nil
}
