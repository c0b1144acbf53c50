package main

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// evils are texts that a machine may report of itself.
var evils = []string{
	`<img src=x onerror=alert(1)>`, `"><script>alert(1)</script>`, `' autofocus onfocus=alert(1) x='`, "gnp\u202etoor\u2066\u200f", "javascript:alert(1)",
	strings.Repeat("W", 10_000), "🦖👨‍👩‍👧‍👦 Zürich 数据中心", "a\u2028b\x1b[31m",
}

// deface puts a text into every field of a value that is one, and makes lists that are
// empty have an entry.
func deface(v reflect.Value, next func() string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(next())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				deface(v.Field(i), next)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			deface(v.Index(i), next)
		}
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		deface(v.Elem(), next)
	}
}

// live is what no text of a machine may become: an element, an attribute or an address.
var live = regexp.MustCompile(`<img src=x|<script>|<[a-z]([^<>"]|"[^"]*")*\son(error|focus)=|(href|src|action)="javascript:|[\x{202a}-\x{202e}\x{2066}-\x{2069}\x{200f}]`)

// A machine that reports rubbish in every field is shown as it is, on every page.
func TestHostileMachineOnPages(t *testing.T) {
	f := newOffice(t)
	var ids []string
	for i := range evils {
		mac := registry.MAC{0x52, 0x54, 0, 0, 9, byte(i)}
		var h registry.Hardware
		deface(reflect.ValueOf(&h).Elem(), func() string { return evils[i] })
		_, script := f.get(t, "/boot/"+mac.String()+"/auto.ipxe?arch=bios")
		agent := &api.Client{Base: f.url, Token: bootToken.FindStringSubmatch(script)[1]}
		reply, err := agent.Register(t.Context(), api.RegisterRequest{MAC: mac, Hostname: "a", Hardware: h})
		if err != nil {
			if status := api.Status(err); status < 400 || status >= 500 {
				t.Errorf("machine %d: %v", i, err)
			}
			continue
		}
		ids = append(ids, reply.ID)
	}
	if len(ids) == 0 {
		t.Fatal("no such machine was taken")
	}
	pages := []string{"/machines", "/machines?cols=tags,labels,os,note,bmc,known", "/machines?group=vendor", "/machines?group=model", "/deployments", "/systems", "/health", "/audit",
		"/palette?q=state:ready", "/settings/rules?try=1", "/machines/complete?q=vendor:", "/machines/complete?q=model:~"}
	for _, id := range ids {
		for _, end := range []string{"", "?tab=timeline", "?tab=hardware", "?tab=deployments", "?tab=boot", "/edit", "/deploy", "/once", "/end/delete"} {
			pages = append(pages, "/machines/"+id+end)
		}
		pages = append(pages, "/palette?at=/machines/"+id)
	}
	for _, evil := range evils[:3] {
		q := strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "%22", " ", "%20", "'", "%27").Replace(evil)
		pages = append(pages, "/machines?q="+q, "/machines?group="+q, "/machines/"+q, "/deployments/"+q, "/systems/"+q, "/palette?q="+q, "/settings/rules/edit?name="+q, "/"+q)
	}
	for _, page := range pages {
		status, body := f.get(t, page)
		if status >= http.StatusInternalServerError {
			t.Errorf("%s: %d %.300s", page, status, body)
		}
		if found := live.FindStringIndex(body); found != nil {
			t.Errorf("%s: %s", page, fmt.Sprintf("%q", body[max(0, found[0]-80):min(len(body), found[1]+40)]))
		}
		if slices.Contains(pages[:3], page) && len(body) > 200<<10 {
			t.Errorf("%s: %d bytes", page, len(body))
		}
	}
}
