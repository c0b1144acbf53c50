package metadata

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"dragonfly/boot/seed"
	"dragonfly/registry"
)

const (
	token   = "c2VlZC0x_-TOKEN"
	oldOne  = "b3Zlcg"
	anaKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqX7a8X/+6x3fDK0uku1PL8Cr+i5zHKmMp19Gg/0tmB ana@example"
	benKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVyeBmOa6YqAyLNGuMPcWqBsimCTtDYzuNI4pGILbyz ben@example"
	anaHash = "$6$rounds=500000$q0NJxFJV.ImPIIaY$V1GBzsKZ3pjL5lXKhG6TA.pqvdpOioMxfC78HH35WsFeh6uiBJYy96kMRJ1AtKGctVQkwVn0GqdW27uv.h92C."
)

var mac = registry.MAC{0x52, 0x54, 0, 0, 0, 1}

// deployments is a Source that holds one seed, until it is reported.
type deployments struct {
	mu      sync.Mutex
	seed    Seed
	err     error // of everything
	reports []Report
	events  []string // of an installer
}

func (d *deployments) check(token_ string) error {
	switch {
	case d.err != nil:
		return d.err
	case token_ == oldOne:
		return &GoneError{"the deadline of this deployment is over"}
	case token_ != token:
		return ErrUnknown
	}
	return nil
}

func (d *deployments) Seed(_ context.Context, token string) (Seed, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(token); err != nil {
		return Seed{}, err
	}
	if len(d.reports) > 0 {
		return Seed{}, &GoneError{"the system has reported that it is up"}
	}
	return d.seed, nil
}

func (d *deployments) PhoneHome(_ context.Context, token string, r Report) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(token); err != nil {
		return err
	}
	d.reports = append(d.reports, r)
	return nil
}

func (d *deployments) Installer(_ context.Context, token string, event registry.InstallerEvent, detail string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(token); err != nil {
		return err
	}
	d.events = append(d.events, string(event)+": "+detail)
	return nil
}

// service is a handler with what it told.
type service struct {
	*Handler
	*deployments
	sights []registry.Sighting
	logged strings.Builder
}

func newService(t *testing.T, boot registry.FirstBoot) *service {
	t.Helper()
	user := registry.SeedUser{Name: "ana", PasswordHash: anaHash, SSHKeys: []string{anaKey}}
	documents, err := seed.Render(seed.Request{FirstBoot: boot, User: "core", InstanceID: "d-7f3a9c2e1b4d", URL: URL("http://10.0.0.2:3000", token),
		Layers: []seed.Layer{{Seed: registry.Seed{FQDN: "elk.lab.example", SSHKeys: []string{anaKey, benKey}, Users: []registry.SeedUser{user}}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &service{deployments: &deployments{seed: Seed{Machine: "elk", MAC: mac, Documents: documents}}}
	s.Handler = New(s.deployments, func(g registry.Sighting) { s.sights = append(s.sights, g) }, slog.New(slog.NewTextHandler(&s.logged, nil)))
	return s
}

func (s *service) ask(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL.Path, r.RemoteAddr = path, "10.0.0.7:1234"
	r.Header.Set("User-Agent", "Cloud-Init/22.4.2")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestDocuments(t *testing.T) {
	s := newService(t, registry.FirstBootCloudInit)
	want := s.seed.Documents
	for name, text := range map[string]string{
		"":                                     "meta-data\nnetwork-config\nuser-data\nvendor-data\n2009-04-04/\nlatest/\n",
		"/":                                    "meta-data\nnetwork-config\nuser-data\nvendor-data\n2009-04-04/\nlatest/\n",
		"/user-data":                           want.UserData,
		"/meta-data":                           want.MetaData,
		"/vendor-data":                         "",
		"/network-config":                      want.NetworkConfig,
		"/latest/user-data":                    want.UserData,
		"/2009-04-04/user-data":                want.UserData,
		"/latest":                              "meta-data/\nuser-data",
		"/latest/":                             "meta-data/\nuser-data",
		"/latest/meta-data":                    "hostname\ninstance-id\nlocal-hostname\npublic-keys/",
		"/latest/meta-data/":                   "hostname\ninstance-id\nlocal-hostname\npublic-keys/",
		"/2009-04-04/meta-data/instance-id":    "d-7f3a9c2e1b4d",
		"/2009-04-04/meta-data/local-hostname": "elk.lab.example",
		"/2009-04-04/meta-data/public-keys/":   "0=key-0\n1=key-1",
		"/2009-04-04/meta-data/public-keys/1":  "openssh-key",
		"/2009-04-04/meta-data/public-keys/1/": "openssh-key",
		"/2009-04-04/meta-data/public-keys/1/openssh-key":  benKey,
		"/2009-04-04/meta-data/public-keys/1/openssh-key/": benKey,
	} {
		got := s.ask("GET", Path+token+name, "")
		if got.Code != 200 || got.Body.String() != text || got.Header().Get("Cache-Control") != "no-store" || got.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("GET %s: %d %v\n%q, want\n%q", name, got.Code, got.Header(), got.Body, text)
		}
		if head := s.ask("HEAD", Path+token+name, ""); head.Code != 200 || head.Body.Len() != 0 || head.Result().ContentLength != int64(len(text)) {
			t.Errorf("HEAD %s: %d %v", name, head.Code, head.Header())
		}
	}
	if !strings.Contains(want.UserData, anaHash) {
		t.Error("this test serves no secret")
	}
}

func TestIgnitionForWhoReadsIt(t *testing.T) {
	s := newService(t, registry.FirstBootIgnition)
	got := s.ask("GET", Path+token+"/ignition", "")
	if got.Code != 200 || got.Body.String() != s.seed.UserData || !strings.HasPrefix(got.Header().Get("Content-Type"), "application/vnd.coreos.ignition+json") {
		t.Errorf("%d %v %.200s", got.Code, got.Header(), got.Body)
	}
	if index := s.ask("GET", Path+token+"/", "").Body.String(); !strings.Contains(index, "ignition\n") {
		t.Errorf("index %q", index)
	}
	if other := newService(t, registry.FirstBootCloudInit).ask("GET", Path+token+"/ignition", ""); other.Code != 404 {
		t.Errorf("a cloud-config as Ignition config: %d", other.Code)
	}
}

// Every read of a document is told, with who it was; the leaves of EC2's tree are
// not, and a look without a read is none.
func TestReadsAreTold(t *testing.T) {
	s := newService(t, registry.FirstBootCloudInit)
	for _, name := range []string{"user-data", "user-data", "meta-data", "latest/meta-data/", "latest/meta-data/instance-id", "latest/user-data", "vendor-data"} {
		s.ask("GET", Path+token+"/"+name, "")
		s.ask("HEAD", Path+token+"/"+name, "")
	}
	var details []string
	for _, g := range s.sights {
		if g.MAC != mac || g.Stage != registry.StageSeed || g.Remote.String() != "10.0.0.7" || g.At.IsZero() {
			t.Errorf("sighting %+v", g)
		}
		details = append(details, g.Detail)
	}
	want := []string{"user-data was read by 10.0.0.7 (Cloud-Init/22.4.2)", "user-data was read by 10.0.0.7 (Cloud-Init/22.4.2)", "meta-data was read by 10.0.0.7 (Cloud-Init/22.4.2)",
		"latest/meta-data/ was read by 10.0.0.7 (Cloud-Init/22.4.2)", "latest/user-data was read by 10.0.0.7 (Cloud-Init/22.4.2)"}
	if !slices.Equal(details, want) {
		t.Errorf("got %q", details)
	}
	if strings.Contains(s.logged.String(), token) || strings.Contains(s.logged.String(), "$6$") {
		t.Errorf("a secret is in the log:\n%s", &s.logged)
	}
	if n := s.Stats.Served.Load(); n != 14 {
		t.Errorf("%d served", n)
	}
}

func TestPhoneHome(t *testing.T) {
	s := newService(t, registry.FirstBootCloudInit)
	form := url.Values{"instance_id": {"d-7f3a9c2e1b4d"}, "hostname": {"elk"}, "fqdn": {"elk.lab.example"}, "pub_key_rsa": {"N/A"}, "pub_key_ecdsa": {"rubbish"}, "pub_key_ed25519": {benKey + "\n"}}
	for range 2 { // the first answer was lost
		if got := s.ask("POST", Path+token+"/phone-home", form.Encode()); got.Code != 200 || got.Body.String() != "noted\n" {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
	}
	if len(s.reports) != 2 || s.reports[0].Hostname != "elk" || s.reports[0].FQDN != "elk.lab.example" || s.reports[0].InstanceID != "d-7f3a9c2e1b4d" ||
		!slices.Equal(s.reports[0].HostKeys, []string{benKey}) || s.reports[0].Remote.String() != "10.0.0.7" {
		t.Errorf("reported %+v", s.reports)
	}
	if got := s.ask("GET", Path+token+"/user-data", ""); got.Code != 410 || got.Body.String() != "the system has reported that it is up\n" {
		t.Errorf("afterwards: %d %s", got.Code, got.Body)
	}
	if nothing := newService(t, registry.FirstBootCloudInit); nothing.ask("POST", Path+token+"/phone-home", "").Code != 200 || len(nothing.reports) != 1 {
		t.Error("a report of nothing is not taken")
	}
}

func TestInstaller(t *testing.T) {
	s := newService(t, registry.FirstBootCloudInit)
	for _, form := range []string{"event=started&detail=", "event=writing", "event=failed&detail=no mirror: 404", "event=installed"} {
		if got := s.ask("POST", Path+token+"/installer", form); got.Code != 200 || got.Body.String() != "noted\n" {
			t.Errorf("%s: %d %s", form, got.Code, got.Body)
		}
	}
	if want := []string{"started: ", "writing: ", "failed: no mirror: 404", "installed: "}; !slices.Equal(s.events, want) || s.Stats.Installers.Load() != 4 {
		t.Errorf("told %q", s.events)
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("a", 64<<10)
	for name, test := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"no token":              {"GET", Path, "", 404, "no machine is being set up with this token"},
		"an unknown token":      {"GET", Path + "nobody/user-data", "", 404, "no machine is being set up with this token"},
		"a token that is over":  {"GET", Path + oldOne + "/user-data", "", 410, "the deadline of this deployment is over"},
		"a path as token":       {"GET", Path + "../../etc/passwd", "", 404, "no machine"},
		"a token with a slash":  {"GET", Path + "/user-data", "", 404, "no machine"},
		"a long token":          {"GET", Path + long + "/user-data", "", 404, "no machine"},
		"a NUL":                 {"GET", Path + "a\x00b/user-data", "", 404, "no machine"},
		"no such document":      {"GET", Path + token + "/passwords", "", 404, `there is no "passwords"; there are meta-data, network-config, user-data, vendor-data, 2009-04-04/, latest/`},
		"a long name":           {"GET", Path + token + "/" + long, "", 404, "there is no"},
		"a later EC2":           {"GET", Path + token + "/2021-03-23/meta-data/instance-id", "", 404, "there is no"},
		"EC2's own token":       {"PUT", Path + token + "/latest/api/token", "", 405, "only GET and HEAD"},
		"EC2's token, read":     {"GET", Path + token + "/latest/api/token", "", 404, "there is no"},
		"a key that is not":     {"GET", Path + token + "/latest/meta-data/public-keys/7/openssh-key", "", 404, "there is no"},
		"a climb":               {"GET", Path + token + "/latest/meta-data/../../user-data", "", 404, "there is no"},
		"a write":               {"POST", Path + token + "/user-data", "x=1", 405, "only GET and HEAD"},
		"a report that is read": {"GET", Path + token + "/phone-home", "", 405, "POST a report here"},
		"an unknown report":     {"POST", Path + "nobody/phone-home", "hostname=x", 404, "no machine"},
		"a report too late":     {"POST", Path + oldOne + "/phone-home", "hostname=x", 410, "the deadline"},
		"a large report":        {"POST", Path + token + "/phone-home", "hostname=" + long, 413, "larger than 65536 bytes"},
		"a damaged report":      {"POST", Path + token + "/phone-home", "hostname=%zz", 400, "the form is damaged"},
		"an installer's event":  {"POST", Path + token + "/installer", "event=bored", 400, "event: want one of [started writing installed failed]"},
		"an installer's read":   {"GET", Path + token + "/installer", "", 405, "POST here what the installer does"},
		"an installer too late": {"POST", Path + oldOne + "/installer", "event=writing", 410, "the deadline"},
		"a damaged event":       {"POST", Path + token + "/installer", "event=%zz", 400, "the form is damaged"},
		"a report of two lines": {"POST", Path + token + "/phone-home", "hostname=a%0Ab", 400, "hostname: want a line of text"},
		"markup":                {"POST", Path + token + "/phone-home", "hostname=%3Cscript%3E", 400, "hostname: want a line of text"},
		"a long name in it":     {"POST", Path + token + "/phone-home", "hostname=" + strings.Repeat("a", 254), 400, "hostname: want a line of text, at most 253"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, registry.FirstBootCloudInit)
			got := s.ask(test.method, test.path, test.body)
			body, _ := io.ReadAll(got.Body)
			if got.Code != test.status || !strings.Contains(string(body), test.want) || len(body) > 500 || !strings.HasPrefix(got.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("%d %q, want %d %q", got.Code, body, test.status, test.want)
			}
			if got.Header().Get("Cache-Control") != "no-store" || len(s.sights) > 0 || len(s.reports)+len(s.events) > 0 || strings.Contains(string(body), "$6$") {
				t.Errorf("%v, %v, %v", got.Header(), s.sights, s.reports)
			}
		})
	}
	s := newService(t, registry.FirstBootCloudInit)
	r := httptest.NewRequest("POST", Path+token+"/phone-home", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 415 || len(s.reports) > 0 {
		t.Errorf("JSON: %d", w.Code)
	}
}

func TestTheDatabaseIsAway(t *testing.T) {
	s := newService(t, registry.FirstBootCloudInit)
	s.err = registry.ErrUnavailable
	for _, method := range []string{"GET", "POST"} {
		path := map[string]string{"GET": "/user-data", "POST": "/phone-home"}[method]
		if got := s.ask(method, Path+token+path, ""); got.Code != 503 || got.Header().Get("Retry-After") != "5" {
			t.Errorf("%s: %d %v", method, got.Code, got.Header())
		}
	}
	s.err = errors.New("disk on fire at /secret/path")
	if got := s.ask("GET", Path+token+"/user-data", ""); got.Code != 500 || strings.Contains(got.Body.String(), "secret") || !strings.Contains(s.logged.String(), "disk on fire") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	s := newService(t, registry.FirstBootCloudInit)
	for i := range requestsPerToken {
		if got := s.ask("GET", Path+token+"/meta-data", ""); got.Code != 200 {
			t.Fatalf("request %d: %d", i, got.Code)
		}
	}
	if got := s.ask("GET", Path+token+"/meta-data", ""); got.Code != 429 || got.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d", got.Code)
	}
	guesses := newService(t, registry.FirstBootCloudInit)
	codes := map[int]int{}
	for i := range failuresPerPeer + 50 {
		codes[guesses.ask("GET", Path+"guess"+string(rune('a'+i%26))+strings.Repeat("x", i/26)+"/user-data", "").Code]++
	}
	if codes[404] != failuresPerPeer || codes[429] != 50 || guesses.Stats.Limited.Load() != 50 {
		t.Errorf("guesses: %v", codes)
	}
	r := httptest.NewRequest("GET", Path+token+"/meta-data", nil)
	r.RemoteAddr = "10.0.0.8:1"
	w := httptest.NewRecorder()
	if guesses.ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("another address: %d", w.Code)
	}
}
