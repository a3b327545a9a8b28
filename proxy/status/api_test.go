package status

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/ftpgate/ftpgate/proxy"
)

// ask answers a request without a network.
func ask(s *Server, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// TestDescription holds openapi.yaml to the handlers: every path is served, every
// answer is as it says, and an answer has no key that it does not say.
func TestDescription(t *testing.T) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(description)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		t.Fatal(err)
	}
	for _, schema := range doc.Components.Schemas {
		no := false
		schema.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
	}
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	whole, bare := newFake(5), newFake(0)
	whole.gateway.NotReady, whole.gateway.ReloadError, whole.gateway.Reloaded = "no", "bad", time.Now()
	whole.gateway.Audit, whole.warnings = Audit{1, 2, "full"}, []string{"one"}
	bare.gateway = Gateway{}
	queries := map[string][]string{
		"/api/v1/sessions":  {"", "?limit=2", "?limit=2&after=2", "?after=900", "?limit=0", "?limit=x", "?after=-1", "?limit=1001"},
		"/api/v1/transfers": {"", "?failed=true", "?failed=maybe", "?limit=3", "?session=4"},
	}
	for path := range doc.Paths.Map() {
		for name, source := range map[string]*fake{"whole": whole, "bare": bare} {
			s := open(t, source, Options{})
			for _, query := range append(queries[path], "") {
				w := ask(s, path+query)
				r := httptest.NewRequest(http.MethodGet, path+query, nil)
				route, params, err := router.FindRoute(r)
				if err != nil {
					t.Fatal(err)
				}
				answer := &openapi3filter.ResponseValidationInput{
					RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
					Status:                 w.Code, Header: w.Header(), Options: &openapi3filter.Options{IncludeResponseStatus: true},
				}
				answer.SetBodyBytes(w.Body.Bytes())
				if err := openapi3filter.ValidateResponse(t.Context(), answer); err != nil {
					t.Errorf("%s%s (%s): %d %s: %v", path, query, name, w.Code, w.Body, err)
				}
				request := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route,
					Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
				if good := openapi3filter.ValidateRequest(t.Context(), request) == nil; good != (w.Code != http.StatusBadRequest) {
					t.Errorf("%s%s: answered %d, and openapi.yaml calls the query good: %v", path, query, w.Code, good)
				}
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/sessions", "/api/v1/pinholes",
		"/api/v1/transfers", "/api/v1/history", "/api/v1/openapi.yaml"} {
		if doc.Paths.Find(path) == nil {
			t.Errorf("openapi.yaml does not know %s", path)
		}
	}
}

// TestCausesAreDescribed: a cause that openapi.yaml does not know would make an
// answer invalid.
func TestCausesAreDescribed(t *testing.T) {
	for _, c := range proxy.Causes {
		if !strings.Contains(string(description), string(c)) {
			t.Errorf("openapi.yaml does not know the cause %s", c)
		}
	}
}

// TestPages: all sessions are read, each once, in pages of any size.
func TestPages(t *testing.T) {
	s := open(t, newFake(23), Options{})
	for _, limit := range []string{"1", "7", "22", "23", "1000"} {
		var seen []uint64
		for after := "0"; ; {
			var page SessionsJSON
			w := ask(s, "/api/v1/sessions?limit="+limit+"&after="+after)
			if err := json.NewDecoder(w.Body).Decode(&page); err != nil {
				t.Fatal(err)
			}
			if page.Total != 23 {
				t.Fatalf("a total of %d", page.Total)
			}
			for _, one := range page.Sessions {
				seen = append(seen, one.ID)
			}
			if page.Next == 0 {
				break
			}
			next, _ := json.Marshal(page.Next)
			after = string(next)
		}
		if len(seen) != 23 || !slices.IsSorted(seen) || len(slices.Compact(seen)) != 23 {
			t.Errorf("with limit=%s: %v", limit, seen)
		}
	}
}

// TestCompressed: a phone reads less.
func TestCompressed(t *testing.T) {
	s := open(t, newFake(500), Options{})
	plain, packed := ask(s, "/api/v1/sessions?limit=500"), ask(s, "/api/v1/sessions?limit=500", "Accept-Encoding", "br;q=1, gzip")
	if packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len()*5 > plain.Body.Len() {
		t.Fatalf("%d bytes of %d, %v", packed.Body.Len(), plain.Body.Len(), packed.Header())
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || !json.Valid(text) || bytes.Count(text, []byte(`"id":`)) != 500 {
		t.Errorf("%v: %.200s", err, text)
	}
	if w := ask(s, "/api/v1/status", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("compressed for one who refuses it")
	}
}

// TestReady: readiness is a code and a reason.
func TestReady(t *testing.T) {
	source := newFake(0)
	s := open(t, source, Options{})
	if w := ask(s, "/readyz"); w.Code != 200 || w.Body.String() != "ready\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	source.gateway.Ready, source.gateway.NotReady = false, "the rules are gone"
	if w := ask(s, "/readyz"); w.Code != 503 || w.Body.String() != "not ready: the rules are gone\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(s, "/healthz"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestHistory: rates are differences, and 15 minutes are kept.
func TestHistory(t *testing.T) {
	source, now := newFake(4), time.Now()
	var h history
	for i := range 400 {
		source.bytes = uint64(i) * 5000
		h.take(source, now.Add(time.Duration(i)*sampleEvery))
	}
	v := h.last()
	if len(v.Samples) != 180 || v.Step != 5 {
		t.Fatalf("%d samples, one every %v s", len(v.Samples), v.Step)
	}
	for i, one := range v.Samples {
		if one.Bytes != 1000 || one.Sessions != 4 || one.Pinholes != 2 || one.Files != 0 {
			t.Fatalf("sample %d: %+v", i, one)
		}
	}
}
