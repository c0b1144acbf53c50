package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
)

// plainClient reads what the API says of itself.
type plainClient struct {
	config *rest.Config
	client *http.Client
}

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 1 << 20

// strange is an answer that no Kubernetes API gives.
type strange struct{ Path, What string }

func (e *strange) Error() string {
	return fmt.Sprintf("%s is answered with %s: is that a Kubernetes API?", e.Path, e.What)
}

// status is an answer that is no success.
type status struct {
	Path string
	Code int
}

func (e *status) Error() string {
	return fmt.Sprintf("%s: %d %s", e.Path, e.Code, http.StatusText(e.Code))
}

// get reads the JSON document at a path. It errs with [*status] or [*strange], or as
// the network does.
func (c *plainClient) get(ctx context.Context, path string, into any) error {
	base := strings.TrimSuffix(c.config.Host, "/")
	if !strings.Contains(base, "://") {
		base = "https://" + base
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return &status{path, answer.StatusCode}
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if json.Unmarshal(text, into) != nil {
		return &strange{path, fmt.Sprintf("%.60q", text)}
	}
	return nil
}
