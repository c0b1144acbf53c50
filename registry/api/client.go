package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dragonfly/registry"
)

// Client speaks to a Dragonfly server. The zero HTTP client is
// [http.DefaultClient]; a long poll needs one whose timeout is longer than the
// wait.
type Client struct {
	Base  string // such as http://10.0.0.2:3000
	Token string // boot or machine token; empty on the control socket
	HTTP  *http.Client
}

// Register reports a machine's hardware. The token must be the boot token.
func (c *Client) Register(ctx context.Context, req RegisterRequest) (RegisterReply, error) {
	var reply RegisterReply
	err := c.do(ctx, http.MethodPost, "/api/v1/agent/register", req, &reply)
	return reply, err
}

// Next waits up to wait for the next instruction. The token must be the machine token.
func (c *Client) Next(ctx context.Context, wait time.Duration) (NextReply, error) {
	var reply NextReply
	err := c.do(ctx, http.MethodGet, "/api/v1/agent/next?wait="+wait.String(), nil, &reply)
	return reply, err
}

// Selection is which machines are listed, and in what order; see
// [registry.ParseFilter] and [registry.ParseSort]. The zero value is all by name.
type Selection struct {
	Filter, Sort string
}

// Machines lists one page of machines and the token of the next page, empty on
// the last. The first page has the empty token.
func (c *Client) Machines(ctx context.Context, s Selection, token string, limit int) ([]Machine, string, error) {
	var reply struct {
		Machines []Machine `json:"machines"`
		Next     string    `json:"next_page_token"`
	}
	query := url.Values{"page_size": {fmt.Sprint(limit)}, "page_token": {token}, "filter": {s.Filter}, "sort": {s.Sort}}
	err := c.do(ctx, http.MethodGet, "/api/v1/machines?"+query.Encode(), nil, &reply)
	return reply.Machines, reply.Next, err
}

// AllMachines lists every machine of the selection, page by page.
func (c *Client) AllMachines(ctx context.Context, s Selection) (all []Machine, err error) {
	for token := ""; ; {
		page, next, err := c.Machines(ctx, s, token, 500)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if token = next; token == "" {
			return all, nil
		}
	}
}

// Fields lists every machine of the selection, with only the named members, such
// as "name" and "hardware.disks"; one that is empty is not there.
func (c *Client) Fields(ctx context.Context, s Selection, fields ...string) (all []map[string]any, err error) {
	query := url.Values{"page_size": {"500"}, "filter": {s.Filter}, "sort": {s.Sort}, "fields": {strings.Join(fields, ",")}}
	for {
		var page struct {
			Machines []map[string]any `json:"machines"`
			Next     string           `json:"next_page_token"`
		}
		if err := c.do(ctx, http.MethodGet, "/api/v1/machines?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Machines...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("page_token", page.Next)
	}
}

// Edit changes what p sets of a machine, whatever its version is.
func (c *Client) Edit(ctx context.Context, id string, p PatchRequest) (Machine, error) {
	var reply Machine
	err := c.do(ctx, http.MethodPatch, machineURL(id, ""), p, &reply)
	return reply, err
}

// Delete forgets a machine.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, machineURL(id, ""), nil, nil)
}

// Lock keeps a machine from whatever destroys.
func (c *Client) Lock(ctx context.Context, id, note string) (Machine, error) {
	var reply Machine
	err := c.do(ctx, http.MethodPut, machineURL(id, "/lock"), map[string]string{"note": note}, &reply)
	return reply, err
}

// Unlock takes the lock away; somebody else's needs force.
func (c *Client) Unlock(ctx context.Context, id string, force bool) (Machine, error) {
	var reply Machine
	err := c.do(ctx, http.MethodDelete, machineURL(id, fmt.Sprintf("/lock?force=%v", force)), nil, &reply)
	return reply, err
}

// Retire takes a machine out of use.
func (c *Client) Retire(ctx context.Context, id string) (Machine, error) {
	var reply Machine
	err := c.do(ctx, http.MethodPost, machineURL(id, "/retire"), nil, &reply)
	return reply, err
}

// Restore brings a machine back that is retired or failed, as ready.
func (c *Client) Restore(ctx context.Context, id string) (Machine, error) {
	var reply Machine
	err := c.do(ctx, http.MethodPost, machineURL(id, "/restore"), nil, &reply)
	return reply, err
}

// Merge folds the record from into the record id, of the same machine.
func (c *Client) Merge(ctx context.Context, id, from string) (Machine, error) {
	var reply Machine
	err := c.do(ctx, http.MethodPost, machineURL(id, "/merge"), map[string]string{"from": from}, &reply)
	return reply, err
}

// Timeline is what happened to a machine, newest first.
func (c *Client) Timeline(ctx context.Context, id string, limit int) ([]Event, error) {
	var reply struct {
		Events []Event `json:"events"`
	}
	err := c.do(ctx, http.MethodGet, machineURL(id, fmt.Sprintf("/timeline?limit=%d", limit)), nil, &reply)
	return reply.Events, err
}

func machineURL(id, rest string) string { return "/api/v1/machines/" + url.PathEscape(id) + rest }

// Machine is one machine with its hardware, by ID or name.
func (c *Client) Machine(ctx context.Context, id string) (Machine, error) {
	var reply Machine
	err := c.do(ctx, http.MethodGet, machineURL(id, ""), nil, &reply)
	return reply, err
}

// Instruct queues an instruction that the machine's agent takes at its next poll.
func (c *Client) Instruct(ctx context.Context, id string, what registry.Instruction) (Machine, error) {
	var reply Machine
	body := map[string]registry.Instruction{"instruction": what}
	err := c.do(ctx, http.MethodPost, machineURL(id, "/instruction"), body, &reply)
	return reply, err
}

// Get decodes the answer to a GET of path into out, for routes outside this
// package.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, nil, out)
}

// do sends in as JSON, where it is not nil, and decodes the answer into out.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	return c.doWith(ctx, method, path, http.Header{}, in, out)
}

// doWith is do with more in the header.
func (c *Client) doWith(ctx context.Context, method, path string, header http.Header, in, out any) error {
	repeatable := method == http.MethodPost && !strings.HasPrefix(path, agentPath)
	if repeatable {
		header.Set(keyHeader, rand.Text())
	}
	resp, err := c.send(ctx, method, path, header, in)
	if repeatable && err != nil && ctx.Err() == nil {
		resp, err = c.again(ctx, path, header, in)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decode(resp, out)
}

// agentPath is where the routes of the agents are. A registration is the same
// however often it is sent.
const agentPath = "/api/v1/agent/"

// agains is how often an answer is asked for that the server is still working on.
const agains = 10

// again sends a POST once more whose connection broke. By its key the server knows
// it, and gives the answer it gave before; while it still works on it, that takes a
// little.
func (c *Client) again(ctx context.Context, path string, header http.Header, in any) (*http.Response, error) {
	for i := 0; ; i++ {
		resp, err := c.send(ctx, http.MethodPost, path, header, in)
		busy := err == nil && resp.StatusCode == http.StatusConflict && resp.Header.Get("Retry-After") != ""
		if !busy || i == agains {
			return resp, err
		}
		resp.Body.Close()
		if !sleep(ctx, time.Second) {
			return nil, context.Cause(ctx)
		}
	}
}

// send sends a request, with more in the header.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, in any) (*http.Response, error) {
	req, err := c.request(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	return c.http().Do(req)
}

// yamlText is a body that is not JSON.
type yamlText []byte

// request is a request with in as its JSON body, where it is not nil and no
// [yamlText].
func (c *Client) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	kind := "application/json"
	if text, ok := in.(yamlText); ok {
		body, kind = bytes.NewReader(text), yamlType
	} else if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Base, "/")+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", kind)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return req, nil
}

func (c *Client) http() *http.Client {
	if c.HTTP == nil {
		return http.DefaultClient
	}
	return c.HTTP
}

// maxReply bounds what a client reads of one answer: what 10,000 machines come to is
// the largest.
const maxReply = 64 << 20

func decode(resp *http.Response, out any) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", resp.Request.URL.Path, err)
	}
	if resp.StatusCode >= 300 {
		problem := &Error{}
		if json.Unmarshal(data, problem) != nil || problem.Status == 0 {
			problem = &Error{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
		}
		return problem
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("answer of %s: %w", resp.Request.URL.Path, err)
	}
	return nil
}
