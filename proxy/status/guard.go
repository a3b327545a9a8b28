package status

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// cookieName holds what a browser got for the token. It is not the token, which
// could be used elsewhere.
const cookieName = "ftpgate"

// token is what readers must show; zero: nothing.
type token struct{ bearer, cookie string }

func tokenOf(secret string) token {
	sum := sha256.Sum256([]byte("ftpgate dashboard\n" + secret))
	return token{secret, hex.EncodeToString(sum[:])}
}

// guard lets those in whom the door says may read. Health is told to everybody
// who reaches the endpoint: it is one word.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		now := s.door.Load()
		switch {
		case now == nil:
			http.Error(w, "ftpgate is stopping", http.StatusServiceUnavailable)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "this endpoint only answers questions", http.StatusMethodNotAllowed)
		case !now.knowsHost(r.Host):
			http.Error(w, "ask by an address or as localhost: under any other name a web page of somebody else could read the answer (DNS rebinding); "+
				"behind a reverse proxy, let it set the Host header to localhost, or use status.token_file", http.StatusForbidden)
		case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
			next.ServeHTTP(w, r)
		case now.token == token{} || now.token.shownBy(r):
			next.ServeHTTP(w, r)
		case r.URL.Path == "/" && equal(r.URL.Query().Get("token"), now.token.bearer):
			http.SetCookie(w, &http.Cookie{Name: cookieName, Value: now.token.cookie, Path: "/", HttpOnly: true,
				SameSite: http.SameSiteStrictMode, Secure: now.tls != nil})
			http.Redirect(w, r, "./", http.StatusSeeOther) // the token must not stay in the address
		default:
			header.Set("WWW-Authenticate", `Bearer realm="ftpgate"`)
			http.Error(w, "the token of status.token_file is needed: Authorization: Bearer ..., in a browser once /?token=...", http.StatusUnauthorized)
		}
	})
}

// knowsHost refuses names that whoever controls them could point here. A token
// cannot be sent by such a page, and a certificate would not fit its name.
func (d *door) knowsHost(host string) bool {
	if d.token != (token{}) || d.tls != nil || strings.HasPrefix(d.listen, "unix:") {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") // RFC 6761 §6.3
}

func (t token) shownBy(r *http.Request) bool {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && equal(strings.TrimSpace(value), t.bearer) {
		return true
	}
	cookie, err := r.Cookie(cookieName)
	return err == nil && equal(cookie.Value, t.cookie)
}

// equal takes the same time wherever the texts differ.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
