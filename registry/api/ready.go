package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Readiness is what a server says of itself at /readyz, which is beside the API: 200
// with the status "ready", or 503 with another one.
type Readiness struct {
	Status   string   `json:"status"`             // ready; degraded, while the database is away; not ready, before
	Problems []string `json:"problems,omitempty"` // what an operator should mend, each with how; for viewers
	// LastBackup is when the last backup was taken that was read back; for viewers.
	LastBackup time.Time `json:"last_backup,omitzero"`
}

// Ready is the status of a server that is.
const Ready = "ready"

// Ready asks whether the server is. A server that answers that it is not is no error.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	resp, err := c.send(ctx, http.MethodGet, "/readyz", nil, nil)
	if err != nil {
		return Readiness{}, err
	}
	defer resp.Body.Close()
	var r Readiness
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return r, decode(resp, nil)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(&r); err != nil || r.Status == "" {
		return r, fmt.Errorf("%s is no answer of a Dragonfly at /readyz", resp.Status)
	}
	return r, nil
}
