package api

import (
	"context"
	"net/http"

	"dragonfly/registry"
)

// Network is how the server stands on its networks.
func (c *Client) Network(ctx context.Context) (n registry.Networks, err error) {
	err = c.do(ctx, http.MethodGet, "/api/v1/network", nil, &n)
	return n, err
}

// ProbeNetwork asks which other DHCP servers there are, which takes a few seconds.
func (c *Client) ProbeNetwork(ctx context.Context) (n registry.Networks, err error) {
	err = c.do(ctx, http.MethodPost, "/api/v1/network/probe", nil, &n)
	return n, err
}
