package main

import (
	"fmt"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// A long list is brought in one request, and again without a change.
func TestImportOfALongList(t *testing.T) {
	r := start(t, testConfig(t))
	items := make([]registry.ImportItem, 2000)
	for i := range items {
		items[i].Listed = registry.Listed{Name: fmt.Sprintf("node-%05d", i), Serial: fmt.Sprintf("SN-%05d", i), MACs: []registry.MAC{{2, 0, 0, 1, byte(i >> 8), byte(i)}},
			Tags: []string{"new"}, Labels: map[string]string{"rack": fmt.Sprint(i / 40)}}
	}
	client := &api.Client{Base: r.url}
	reply, err := client.Import(t.Context(), items, false)
	if err != nil || reply.Created != len(items) || len(reply.Results) != len(items) {
		t.Fatalf("%d created, %v", reply.Created, err)
	}
	if reply, err = client.Import(t.Context(), items, true); err != nil || reply.Unchanged != len(items) {
		t.Errorf("again: %d unchanged, %v", reply.Unchanged, err)
	}
}
