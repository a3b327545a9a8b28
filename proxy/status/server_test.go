package status

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const secret = "a-secret-of-24-characters"

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestToken: without it nothing is told but health; with it everything, and the
// reason is not told to strangers.
func TestToken(t *testing.T) {
	source := newFake(1)
	source.gateway.Ready, source.gateway.NotReady = false, "inside"
	s := open(t, source, Options{TokenFile: write(t, "token", secret+"\nignored\n")})
	cookie := cookieName + "=" + tokenOf(secret).cookie
	for _, c := range []struct {
		path, header, value string
		code                int
	}{
		{"/", "", "", 401},
		{"/app.js", "", "", 401},
		{"/metrics", "", "", 401},
		{"/api/v1/status", "", "", 401},
		{"/api/v1/status", "Authorization", "Bearer wrong-secret-of-24-chars", 401},
		{"/api/v1/status", "Authorization", "Basic " + secret, 401},
		{"/api/v1/status", "Authorization", secret, 401},
		{"/api/v1/status", "Authorization", "Bearer " + secret, 200},
		{"/api/v1/status", "Authorization", "bearer  " + secret, 200},
		{"/api/v1/status?token=" + secret, "", "", 401}, // it would be in logs
		{"/api/v1/status", "Cookie", cookie, 200},
		{"/api/v1/status", "Cookie", cookieName + "=" + secret, 401},
		{"/api/v1/status", "Cookie", cookieName + "=", 401},
		{"/", "Cookie", cookie, 200},
		{"/?token=" + secret, "", "", 303},
		{"/?token=", "", "", 401},
		{"/healthz", "", "", 200},
		{"/readyz", "", "", 503},
		{"/nothing", "Cookie", cookie, 404},
	} {
		w := ask(s, c.path, c.header, c.value)
		if w.Code != c.code {
			t.Errorf("%s with %s %q: %d, not %d", c.path, c.header, c.value, w.Code, c.code)
		}
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without a challenge (RFC 9110 §11.6.1)", c.path)
		}
		if w.Code >= 400 && strings.Contains(w.Body.String(), "inside") {
			t.Errorf("%s tells a stranger: %s", c.path, w.Body)
		}
	}
	if w := ask(s, "/?token="+secret); !strings.Contains(w.Header().Get("Set-Cookie"), "HttpOnly; SameSite=Strict") {
		t.Errorf("cookie %q", w.Header().Get("Set-Cookie"))
	}
}

// TestBrowserWithToken: once with the token, from then on with the cookie.
func TestBrowserWithToken(t *testing.T) {
	at := freePort(t)
	open(t, newFake(1), Options{Listen: at, TokenFile: write(t, "token", secret)})
	jar, _ := cookiejar.New(nil)
	client := http.Client{Jar: jar}
	for _, path := range []string{"/?token=" + secret, "/", "/app.js", "/api/v1/sessions", "/metrics"} {
		r, err := client.Get("http://" + at + path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || strings.Contains(r.Request.URL.String(), secret) {
			t.Errorf("%s: %s at %s", path, r.Status, r.Request.URL)
		}
	}
}

// TestOnlyQuestions: nothing can be changed, and no page of somebody else can read.
func TestOnlyQuestions(t *testing.T) {
	s := open(t, newFake(1), Options{Listen: freePort(t)})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "/api/v1/status", nil)
		r.Host = "localhost"
		if s.handler.ServeHTTP(w, r); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	for host, code := range map[string]int{
		"localhost": 200, "localhost:9121": 200, "x.localhost:1": 200, "127.0.0.1:9121": 200, "[::1]:9121": 200, "192.168.1.1": 200, "[fe80::1%25x]:9121": 200, "": 200,
		"attacker.example": 403, "attacker.example:9121": 403, "localhost.attacker.example": 403, "127.0.0.1.nip.io": 403, "xlocalhost": 403,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/api/v1/status", nil)
		r.Host = host
		s.handler.ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("Host %q: %d, not %d", host, w.Code, code)
		}
		for header, want := range map[string]string{"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
			if got := w.Header().Get(header); !strings.Contains(got, want) {
				t.Errorf("%s: %q", header, got)
			}
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Error("other origins are let in")
		}
	}
}

// TestSocket: the group may read; a socket that a killed daemon has left is
// replaced, one in use is not, and a file that is none is never removed.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	s := open(t, newFake(1), Options{Listen: "unix:" + path})
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|socketMode {
		t.Errorf("%v %v", info.Mode(), err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	r, err := client.Get("http://ftpgate/healthz")
	if err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
	if _, err := New(newFake(1), s.log).Prepare(Options{Listen: "unix:" + path}); err == nil || !strings.Contains(err.Error(), "another program listens") {
		t.Errorf("a socket in use: %v", err)
	}
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(newFake(1), s.log).Prepare(Options{Listen: "unix:" + path}); err == nil {
		t.Error("a file was taken for a socket")
	}
	if content, _ := os.ReadFile(path); string(content) != "precious" {
		t.Error("a file is gone")
	}
}

// TestRefusedOptions: each names its key and the cure.
func TestRefusedOptions(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	cert, key := certificate(t, 1)
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Listen: held.Addr().String()}, "status.listen: " + held.Addr().String() + ": "},
		{Options{Listen: held.Addr().String()}, "another program listens there"},
		{Options{Listen: "192.0.2.77:9121"}, "does not have the address"},
		{Options{Listen: "unix:/nowhere/at/all.sock"}, "make its directory"},
		{Options{TokenFile: "/nowhere/token"}, "status.token_file: open /nowhere/token"},
		{Options{TokenFile: write(t, "short", "short\n")}, "5 characters"},
		{Options{TokenFile: write(t, "late", "\n"+secret)}, "needs 16"},
		{Options{TokenFile: mode(t, write(t, "open", secret), 0o644)}, "status.token_file: "},
		{Options{TokenFile: mode(t, write(t, "open", secret), 0o644)}, "mode 0644: open to every user"},
		{Options{TokenFile: mode(t, write(t, "open", secret), 0o602)}, "mode 0602"},
		{Options{Certificate: cert, Key: mode(t, write(t, "open.pem", ""), 0o604)}, "mode 0604"},
		{Options{Certificate: mode(t, write(t, "open.pem", ""), 0o666), Key: key}, "mode 0666"},
		{Options{Certificate: "/nowhere/c.pem", Key: "/nowhere/k.pem"}, "status.tls_certificate, status.tls_key"},
	} {
		s := New(newFake(0), open(t, newFake(0), Options{}).log)
		if _, err := s.Prepare(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, without %q", c.o, err, c.want)
		}
		s.Close()
	}
}

// mode changes that of a file, whatever umask says.
func mode(t *testing.T, path string, to os.FileMode) string {
	t.Helper()
	if err := os.Chmod(path, to); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSilence: who does not answer is named, with how long was waited.
func TestSilence(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c, err := NewClient(Options{Listen: silent.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	c.http.Timeout = 50 * time.Millisecond
	if _, err := c.Raw(t.Context(), "healthz"); err == nil || !strings.Contains(err.Error(), "no answer from "+silent.Addr().String()+" within 50ms") {
		t.Error(err)
	}
}

// TestGroupReads: the group of a token's file may read it, as the daemon's own user does.
func TestGroupReads(t *testing.T) {
	if _, err := ReadToken(mode(t, write(t, "group", secret), 0o640)); err != nil {
		t.Error(err)
	}
}

// certificate makes one with the serial number, and its key.
func certificate(t *testing.T, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// TestChanges: certificate, token and address change while it runs, and a
// change that is refused or given up changes nothing.
func TestChanges(t *testing.T) {
	at, other := freePort(t), freePort(t)
	s := open(t, newFake(1), Options{Listen: at})
	get := func(url, bearer string) (code int, serial int64) {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		r, _ := http.NewRequest("GET", url+"/api/v1/status", nil)
		r.Header.Set("Authorization", "Bearer "+bearer)
		answer, err := client.Do(r)
		if err != nil {
			return 0, 0
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.TLS != nil {
			serial = answer.TLS.PeerCertificates[0].SerialNumber.Int64()
		}
		return answer.StatusCode, serial
	}
	expect := func(what, url, bearer string, code int, serial int64) {
		t.Helper()
		if c, n := get(url, bearer); c != code || n != serial {
			t.Errorf("%s: %d with certificate %d, not %d with %d", what, c, n, code, serial)
		}
	}
	expect("plain", "http://"+at, "", 200, 0)
	cert, key := certificate(t, 1)
	change(t, s, Options{Listen: at, Certificate: cert, Key: key})
	expect("TLS", "https://"+at, "", 200, 1)
	if c, _ := get("http://"+at, ""); c == 200 {
		t.Error("plain is still spoken")
	}
	cert, key = certificate(t, 2)
	change(t, s, Options{Listen: at, Certificate: cert, Key: key, TokenFile: write(t, "token", secret)})
	expect("renewed, no token", "https://"+at, "", 401, 2)
	expect("renewed", "https://"+at, secret, 200, 2)
	given, err := s.Prepare(Options{Listen: other})
	if err != nil {
		t.Fatal(err)
	}
	given.Abandon()
	expect("after a change that was given up", "https://"+at, secret, 200, 2)
	expect("where it would have gone", "http://"+other, "", 0, 0)
	moved, err := s.Prepare(Options{Listen: other})
	if err != nil {
		t.Fatal(err)
	}
	moved.Commit()
	moved.Abandon() // has no effect any more
	expect("moved", "http://"+other, "", 200, 0)
	expect("where it was", "https://"+at, secret, 0, 0)
	change(t, s, Options{})
	expect("off", "http://"+other, "", 0, 0)
}
