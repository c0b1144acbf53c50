package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// api answers as a Kubernetes API with Tinkerbell does, but for some paths, and denies
// some permissions.
func api(t *testing.T, paths map[string]string, denied ...string) http.Handler {
	t.Helper()
	answers := map[string]string{
		"/version":                          `{"gitVersion":"v1.36.3"}`,
		"/apis/tinkerbell.org":              `{"versions":[{"version":"v1alpha2"},{"version":"v1alpha1"}]}`,
		"/apis/tinkerbell.org/v1alpha1":     `{"resources":[{"name":"hardware"},{"name":"hardware/status"},{"name":"templates"},{"name":"workflows"}]}`,
		"/apis/bmc.tinkerbell.org/v1alpha1": `{"resources":[{"name":"machines"}]}`,
	}
	for path, answer := range paths {
		answers[path] = answer
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost && r.URL.Path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
			review(t, w, r, denied)
			return
		}
		answer := answers[r.URL.Path]
		if code := 0; answer == "" {
			http.NotFound(w, r)
		} else if n, _ := fmt.Sscanf(answer, "%d", &code); n == 1 {
			w.WriteHeader(code)
		} else {
			fmt.Fprint(w, answer)
		}
	})
}

func review(t *testing.T, w http.ResponseWriter, r *http.Request, denied []string) {
	var asked struct {
		Spec struct {
			ResourceAttributes struct{ Namespace, Verb, Group, Resource string } `json:"resourceAttributes"`
		} `json:"spec"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Spec.ResourceAttributes.Namespace != "tink" {
		t.Errorf("%v, %+v", err, asked)
	}
	a := asked.Spec.ResourceAttributes
	allowed := true
	for _, d := range denied {
		allowed = allowed && d != a.Verb+" "+a.Resource+"."+a.Group
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","status":{"allowed":%t}}`, allowed)
}

func check(t *testing.T, config *rest.Config) Health {
	t.Helper()
	c, err := Dial(config, "tink")
	if err != nil {
		t.Fatal(err)
	}
	return c.Check(t.Context())
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		paths  map[string]string
		denied []string
		want   string // in the problem; empty: there is none
	}{
		"everything is there": {},
		"no Tinkerbell":       {paths: map[string]string{"/apis/tinkerbell.org": "404"}, want: "Tinkerbell is not installed there"},
		"another version":     {paths: map[string]string{"/apis/tinkerbell.org": `{"versions":[{"version":"v2"}]}`}, want: "tinkerbell.org/v1alpha1 is needed, and there is v2"},
		"a kind is not there": {paths: map[string]string{"/apis/tinkerbell.org/v1alpha1": `{"resources":[{"name":"hardware"}]}`}, want: "templates.tinkerbell.org and workflows.tinkerbell.org of tinkerbell.org/v1alpha1 not there"},
		"unknown here":        {paths: map[string]string{"/version": "401"}, want: "Kubernetes does not know us"},
		"closed":              {paths: map[string]string{"/version": "403"}, want: "does not let us look at /version"},
		"broken":              {paths: map[string]string{"/version": "503"}, want: "503 Service Unavailable"},
		"garbage":             {paths: map[string]string{"/version": "<html>hello</html>"}, want: `/version is answered with "<html>hello</html>": is that a Kubernetes API?`},
		"something else":      {paths: map[string]string{"/version": `{"name":"rqlite"}`}, want: "is that a Kubernetes API?"},
		"two permissions": {denied: []string{"create workflows.tinkerbell.org", "patch hardware.tinkerbell.org"},
			want: "we may not patch hardware.tinkerbell.org, create workflows.tinkerbell.org in the namespace tink; `dragonfly tinkerbell rbac`"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(api(t, c.paths, c.denied...))
			defer server.Close()
			h := check(t, &rest.Config{Host: server.URL})
			if h.Good() != (c.want == "") || !strings.Contains(h.Problem, c.want) || len(h.Missing) != len(c.denied) {
				t.Errorf("%+v; want %q", h, c.want)
			}
		})
	}
}

// What answers at the other end, where that is no Kubernetes API that is well.
func TestCheckConnection(t *testing.T) {
	encrypted := httptest.NewTLSServer(api(t, nil))
	defer encrypted.Close()
	clear := httptest.NewServer(api(t, nil))
	defer clear.Close()
	for name, c := range map[string]struct{ host, want string }{
		"nobody":            {"https://127.0.0.1:1", "connection refused"},
		"another authority": {encrypted.URL, "TLS: x509: certificate signed by unknown authority"},
		"no TLS":            {strings.Replace(clear.URL, "http:", "https:", 1), "speaks no TLS"},
		"no such name":      {"https://no-such-host.invalid", "no such host: no-such-host.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			if h := check(t, &rest.Config{Host: c.host}); h.Good() || !strings.Contains(h.Problem, c.want) {
				t.Errorf("%+v; want %q", h, c.want)
			}
		})
	}
}

// One that takes the question and says nothing is too slow, and is not waited for for
// ever.
func TestCheckSlow(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	h := check(t, &rest.Config{Host: server.URL, Timeout: 50 * time.Millisecond})
	if !strings.Contains(h.Problem, "no answer in time") {
		t.Errorf("%+v", h)
	}
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: lab
clusters: [{name: lab, cluster: {server: "https://10.0.0.9:6443"}}]
users: [{name: ana, user: {token: secret}}]
contexts:
- {name: lab, context: {cluster: lab, user: ana}}
- {name: rack, context: {cluster: lab, user: ana, namespace: tink-system}}
`

func TestFind(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		where           Where
		namespace, want string // the error
	}{
		"the current context": {Where{Kubeconfig: file}, "tinkerbell", ""},
		"a context":           {Where{Kubeconfig: file, Context: "rack"}, "tink-system", ""},
		"a namespace":         {Where{Kubeconfig: file, Context: "rack", Namespace: "mine"}, "mine", ""},
		"one of two files":    {Where{Kubeconfig: file + "-none:" + file}, "tinkerbell", ""},
		"another context":     {Where{Kubeconfig: file, Context: "moon"}, "", `context "moon" does not exist`},
		"no file":             {Where{Kubeconfig: file + "-none"}, "", "no such file"},
		"nowhere":             {Where{}, "", ErrNowhere.Error()},
	} {
		config, namespace, err := Find(c.where)
		if namespace != c.namespace || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", name, namespace, err)
		}
		if err == nil && (config.Host != "https://10.0.0.9:6443" || config.BearerToken != "secret") {
			t.Errorf("%s: %+v", name, config)
		}
	}
}

// The manifest beside the package is what the command prints.
func TestRBAC(t *testing.T) {
	got, err := RBAC(DefaultNamespace, false)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile("../rbac.yaml", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("../rbac.yaml"); err != nil || got != string(want) {
		t.Errorf("%v (UPDATE=1 writes it): got\n%s", err, got)
	}
	bmc, err := RBAC("tink-system", true)
	if err != nil || !strings.Contains(bmc, "[\"bmc.tinkerbell.org\"]\n  resources: [\"machines\"]\n  verbs: [\"get\", \"list\", \"create\", \"patch\"]") ||
		strings.Count(bmc, "namespace: tink-system") != 4 || strings.Contains(got, "bmc") {
		t.Errorf("%v\n%s", err, bmc)
	}
	if _, err := RBAC("Tink_System", false); err == nil {
		t.Error("a bad namespace")
	}
}
