package action

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// authorization gets at what a registry keeps: with a name and a password (RFC
// 7617), or with a token that another server gives for them or for nothing
// (distribution specification, token authentication).
type authorization struct {
	client         *http.Client
	user, password string
	plain          bool // the registry has no TLS

	mu     sync.Mutex
	header string // what was accepted last
}

// authorize gives a request what it needs to be accepted, as far as it is known; with
// a challenge, which an answer with status 401 has, it finds out.
func (a *authorization) authorize(ctx context.Context, req *http.Request, challenge string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	req.Header.Set("Accept", manifestTypes+", */*")
	if challenge != "" {
		header, err := a.answer(ctx, challenge)
		if err != nil {
			return err
		}
		a.header = header
	}
	if a.header != "" {
		req.Header.Set("Authorization", a.header)
	}
	return nil
}

// answer is the header that answers a challenge.
func (a *authorization) answer(ctx context.Context, challenge string) (string, error) {
	scheme, rest, _ := strings.Cut(challenge, " ")
	switch {
	case strings.EqualFold(scheme, "Basic") && a.user == "":
		return "", permanent("the registry wants a name and a password; set REGISTRY_USERNAME and REGISTRY_PASSWORD")
	case strings.EqualFold(scheme, "Basic"):
		req := &http.Request{Header: http.Header{}}
		req.SetBasicAuth(a.user, a.password)
		return req.Header.Get("Authorization"), nil
	case strings.EqualFold(scheme, "Bearer"):
		token, err := a.token(ctx, parameters(rest))
		return "Bearer " + token, err
	}
	return "", permanent("the registry wants to be authorized by %q, which is not known", scheme)
}

// parameter is one of a challenge: realm="https://auth.local/token".
var parameter = regexp.MustCompile(`([a-zA-Z]+)="([^"]*)"`)

func parameters(text string) map[string]string {
	found := map[string]string{}
	for _, m := range parameter.FindAllStringSubmatch(text, -1) {
		found[strings.ToLower(m[1])] = m[2]
	}
	return found
}

// token gets a token from the server that a challenge names.
func (a *authorization) token(ctx context.Context, challenge map[string]string) (string, error) {
	realm, err := url.Parse(challenge["realm"])
	if err != nil || realm.Host == "" || realm.Scheme != "http" && realm.Scheme != "https" {
		return "", permanent("the registry sends to %q for a token", challenge["realm"])
	}
	if realm.Scheme == "http" && a.user != "" && !a.plain {
		return "", permanent("the registry sends to %s for a token, which would show the password to the network", realm)
	}
	query := realm.Query()
	for _, name := range []string{"service", "scope"} {
		if challenge[name] != "" {
			query.Set(name, challenge[name])
		}
	}
	realm.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), nil)
	if err != nil {
		return "", permanentError{err}
	}
	if a.user != "" {
		req.SetBasicAuth(a.user, a.password)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return readToken(resp, realm.Host)
}

func readToken(resp *http.Response, host string) (string, error) {
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", fmt.Errorf("get a token from %s: %s", host, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return "", permanent("get a token from %s: %s; see REGISTRY_USERNAME and REGISTRY_PASSWORD", host, resp.Status)
	}
	var reply struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	err := json.NewDecoder(io.LimitReader(resp.Body, maxManifest)).Decode(&reply)
	if reply.Token == "" {
		reply.Token = reply.AccessToken
	}
	if err == nil && reply.Token == "" {
		err = errors.New("there is none in the answer")
	}
	if err != nil {
		return "", permanent("get a token from %s: %w", host, err)
	}
	return reply.Token, nil
}

// trusting is a client that takes any certificate.
func trusting(client *http.Client) *http.Client {
	trusts := *client
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		transport, _ = http.DefaultTransport.(*http.Transport)
	}
	own := transport.Clone()
	own.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // SKIP_VERIFY asks for it; digests are checked
	trusts.Transport = own
	return &trusts
}
