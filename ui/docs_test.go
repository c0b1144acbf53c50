package ui

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// described is the pages with a document of the API.
func described(t testing.TB) *UI {
	t.Helper()
	text, err := os.ReadFile("testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	return newUI(t, newRack(0), func(c *Config) { c.OpenAPI = func() ([]byte, error) { return text, nil } })
}

func docsOf(t *testing.T, u *UI) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	u.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/docs", nil))
	return w.Code, w.Body.String()
}

// The page says of each operation what the document does, and what is text in the
// document is text on the page.
func TestDocs(t *testing.T) {
	code, page := docsOf(t, described(t))
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, page)
	}
	for _, want := range []string{
		"<code>what</code>", "&lt;b&gt;problem&lt;/b&gt; documents.",
		`id="list-machines"`, "<code>/api/v1/machines</code>", "<code>state:ready tag:gpu</code>", "at most 1000 characters",
		"1 to 1000; 100 when left out", `href="#schema-Machine"`, `id="schema-Machine"`, "&#34;machines&#34;: [", "map of string", "date-time",
		"Change &lt;script&gt;alert(1)&lt;/script&gt;", `id="tag-untold"`, "one of ready, failed", "event: x",
		`curl -H &#34;Authorization: Bearer $DRAGONFLY_TOKEN&#34;`, "/api/v1/machines?filter=state%3Aready+tag%3Agpu",
		"-X PATCH", "/api/v1/machines/brave%20otter", `{&#34;note&#34;:&#34;it&#39;\&#39;&#39;s out&#34;}`,
		"curl -X POST \\\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, bad := range []string{"<script>alert", "No operation has this tag", "Connecting"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
}

var anchor = regexp.MustCompile(`href="#([^"]+)"`)

// Every link within the page leads somewhere.
func TestDocsLinks(t *testing.T) {
	_, page := docsOf(t, described(t))
	found := anchor.FindAllStringSubmatch(page, -1)
	if len(found) < 10 {
		t.Errorf("%d links", len(found))
	}
	for _, link := range found {
		if !strings.HasPrefix(link[1], "i-") && !strings.Contains(page, `id="`+link[1]+`"`) {
			t.Errorf("#%s leads nowhere", link[1])
		}
	}
}

func TestDocsWithoutADocument(t *testing.T) {
	if code, _ := docsOf(t, newUI(t, newRack(0))); code != http.StatusNotFound {
		t.Errorf("no document: %d", code)
	}
	broken := newUI(t, newRack(0), func(c *Config) { c.OpenAPI = func() ([]byte, error) { return nil, errors.New("no") } })
	if code, _ := docsOf(t, broken); code != http.StatusInternalServerError {
		t.Errorf("a document that cannot be made: %d", code)
	}
	broken = newUI(t, newRack(0), func(c *Config) { c.OpenAPI = func() ([]byte, error) { return []byte("{"), nil } })
	if code, _ := docsOf(t, broken); code != http.StatusInternalServerError {
		t.Errorf("a document that cannot be read: %d", code)
	}
}
