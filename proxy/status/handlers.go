package status

import (
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ftpgate/ftpgate/proxy"
	"github.com/ftpgate/ftpgate/proxy/status/page"
)

// The sizes of the pages of answers.
const (
	defaultSessions  = 100
	maxSessions      = 1000
	defaultTransfers = 100
	maxTransfers     = 1000
)

// description is the API in OpenAPI 3; a test holds it to the handlers.
//
//go:embed openapi.yaml
var description []byte

// routes are all that the endpoint answers.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/readyz", s.readyz)
	mux.HandleFunc("/api/v1/status", answer(s.status))
	mux.HandleFunc("/api/v1/sessions", answer(s.sessions))
	mux.HandleFunc("/api/v1/pinholes", answer(s.pinholes))
	mux.HandleFunc("/api/v1/transfers", answer(s.transfers))
	mux.HandleFunc("/api/v1/history", answer(s.past))
	mux.HandleFunc("/api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(description)
	})
	mux.Handle("/metrics", metricsHandler(s.source, s.log))
	mux.Handle("/", http.FileServerFS(page.Files))
	return s.guard(mux)
}

// healthz says that the daemon lives and answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }

// readyz says whether connections are served: 200, or 503. The reason is for
// those alone who may read the rest.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	g := s.source.Gateway()
	if g.Ready {
		io.WriteString(w, "ready\n")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	if now := s.door.Load(); now != nil && (now.token == token{} || now.token.shownBy(r)) {
		fmt.Fprintf(w, "not ready: %s\n", g.NotReady)
		return
	}
	io.WriteString(w, "not ready\n")
}

// answer makes a handler of a function that reads a query and returns a value.
func answer[T any](read func(url.Values) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := read(r.URL.Query())
		if err != nil { // of reading the query; the sources do not fail
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Vary", "Accept-Encoding")
		var to io.Writer = w
		if accepts(r, "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is a valid one
			defer z.Close()
			to = z
		}
		json.NewEncoder(to).Encode(value) // fails only if the reader has left
	}
}

func accepts(r *http.Request, coding string) bool {
	for _, one := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(one, ";")
		if strings.TrimSpace(name) == coding {
			return strings.ReplaceAll(weight, " ", "") != "q=0"
		}
	}
	return false
}

func (s *Server) status(url.Values) (StatusJSON, error) { return statusOf(s.source), nil }

func (s *Server) sessions(q url.Values) (SessionsJSON, error) {
	after, err := count(q, "after", 0, 1<<63)
	if err != nil {
		return SessionsJSON{}, err
	}
	limit, err := count(q, "limit", defaultSessions, maxSessions)
	if err != nil {
		return SessionsJSON{}, err
	}
	list := s.source.Sessions(after, int(limit)+1)
	all := SessionsJSON{Sessions: []SessionJSON{}}
	for _, n := range s.source.SessionStats().Active {
		all.Total += n
	}
	if len(list) > int(limit) {
		list = list[:limit]
		if limit > 0 {
			all.Next = list[limit-1].ID
		}
	}
	for _, one := range list {
		all.Sessions = append(all.Sessions, sessionOf(one))
	}
	return all, nil
}

func (s *Server) pinholes(url.Values) (PinholesJSON, error) {
	all := PinholesJSON{Pinholes: []PinholeJSON{}}
	for _, h := range s.source.Pinholes() {
		all.Pinholes = append(all.Pinholes, pinholeOf(h))
	}
	return all, nil
}

func (s *Server) transfers(q url.Values) (TransfersJSON, error) {
	limit, err := count(q, "limit", defaultTransfers, maxTransfers)
	if err != nil {
		return TransfersJSON{}, err
	}
	failed, err := truth(q, "failed")
	if err != nil {
		return TransfersJSON{}, err
	}
	session, err := count(q, "session", 0, 1<<63)
	if err != nil {
		return TransfersJSON{}, err
	}
	all := TransfersJSON{Transfers: []TransferJSON{}}
	for _, t := range s.source.Transfers() {
		if len(all.Transfers) == int(limit) {
			break
		}
		if failed && t.Result == proxy.Done || session != 0 && t.Session != session {
			continue
		}
		all.Transfers = append(all.Transfers, transferOf(t))
	}
	return all, nil
}

func (s *Server) past(url.Values) (HistoryJSON, error) { return s.history.last(), nil }

// count reads a number of the query.
func count(q url.Values, name string, missing, most uint64) (uint64, error) {
	text := q.Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%s=%q: not a number from 0 to %d", name, text, most)
	}
	return n, nil
}

func truth(q url.Values, name string) (bool, error) {
	switch text := q.Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("%s=%q: neither true nor false", name, text)
	}
}
