package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/ftpgate/ftpgate/deploy/lab"
)

const (
	// endpoint is status.listen, as the defaults have it.
	endpoint = "127.0.0.1:9121"
	// looks is how often each part of the status endpoint is asked.
	looks = 21
	// lookTime bounds one answer.
	lookTime = 10 * time.Second
)

// measureEndpoint asks the status endpoint while the sessions are there.
func (c *contestant) measureEndpoint(ctx context.Context, s *scores) error {
	router := c.lab.Host(lab.Router)
	client := http.Client{Timeout: lookTime, Transport: &http.Transport{DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
		at, err := netip.ParseAddrPort(to)
		if err != nil {
			return nil, err
		}
		return router.Dial(ctx, at)
	}}}
	defer client.CloseIdleConnections()
	for _, part := range []struct{ key, path string }{{"metrics", "/metrics"}, {"sessions", "/api/v1/sessions?limit=1000"}} {
		var took []float64
		for range looks {
			d, err := lookAt(ctx, &client, "http://"+endpoint+part.path)
			if err != nil {
				return fmt.Errorf("%s: the status endpoint: %w", c.name, err)
			}
			took = append(took, float64(d)/float64(time.Millisecond))
		}
		slices.Sort(took)
		s.add(c.name, "endpoint."+part.key, took[len(took)/2])
		s.note("%s: %s took at most %.1f ms", c.name, part.path, took[len(took)-1])
	}
	return nil
}

// lookAt reads an answer whole.
func lookAt(ctx context.Context, client *http.Client, url string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, err
	}
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return time.Since(begin), nil
}
