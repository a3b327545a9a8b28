package browser

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// maxRecord bounds what is remembered of a page that never stops asking or complaining.
const maxRecord = 10_000

// record is what a page has done since it was opened.
type record struct {
	mu       sync.Mutex
	requests []string
	problems []string
}

// event is called for each event of the tab; it must not wait.
func (r *record) event(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		r.add(&r.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		r.add(&r.problems, "exception: "+exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			r.add(&r.problems, fmt.Sprintf("console.%s: %s", e.Type, arguments(e.Args)))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			r.add(&r.problems, fmt.Sprintf("%s of %s: %s %s", e.Entry.Level, e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

func (r *record) add(to *[]string, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(*to) < maxRecord {
		*to = append(*to, text)
	}
}

// Requests returns the address of each request that the page has sent, in order; the page itself is the first.
func (p *Page) Requests() []string {
	p.record.mu.Lock()
	defer p.record.mu.Unlock()
	return slices.Clone(p.record.requests)
}

// Problems returns what the console of the developer tools shows as an error or a warning: exceptions that nobody has
// caught, requests that failed, what the content security policy forbade.
func (p *Page) Problems() []string {
	p.record.mu.Lock()
	defer p.record.mu.Unlock()
	return slices.Clone(p.record.problems)
}

func exception(e *runtime.ExceptionDetails) string {
	text := e.Text
	if e.Exception != nil {
		text += " " + e.Exception.Description
	}
	return fmt.Sprintf("%s (%s:%d)", text, e.URL, e.LineNumber+1)
}

func arguments(args []*runtime.RemoteObject) string {
	var texts []string
	for _, a := range args {
		text := a.Description
		if text == "" {
			text = fmt.Sprint(a.Value)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}
