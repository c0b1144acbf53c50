package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/backup"
)

// backedUp takes a backup into a new folder, and returns its path.
func (r *rig) backedUp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out := r.run(t, "", "backup", "-o", dir); !strings.Contains(out, "read back, and whole") {
		t.Fatalf("backup says %q", out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "dragonfly-*.tar.zst"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	if info, err := os.Stat(found[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file for its owner alone", info.Mode(), err)
	}
	return found[0]
}

// Everything comes back in another directory: a machine with its agent's token, who may
// sign in, and a secret that needs the key. What was under way is cancelled.
func TestBackupComesBack(t *testing.T) {
	f := newOffice(t)
	d := f.ask(t, registry.FirstBootCloudInit)
	_, secret := f.get(t, "/api/v1/deployments/"+d.ID+"/template")
	f.run(t, "correct horse battery\n", "user", "create", "ana", "--password-stdin")
	file := f.backedUp(t)
	f.run(t, "", "machine", "tag", f.m.ID, "later")

	again := &rig{cfg: testConfig(t)}
	out := again.run(t, "", "restore", file)
	if !strings.Contains(out, "1 machine of") || !strings.Contains(out, "under way: "+d.ID) {
		t.Errorf("restore says %q", out)
	}
	r := start(t, again.cfg)
	defer r.end(t)
	c := r.admin(t)
	if m, err := c.Machine(t.Context(), f.m.Name); err != nil || m.ID != f.m.ID || m.State != registry.Ready || len(m.Tags) != 0 {
		t.Errorf("the machine came back as %+v, %v", m, err)
	}
	if _, got := r.ask(t, c.Token, "/api/v1/deployments/"+d.ID+"/template"); got != secret || !strings.Contains(got, f.key) {
		t.Errorf("what was sealed came back as\n%s", got)
	}
	if got, err := c.Deployment(t.Context(), d.ID); err != nil || got.State != registry.DeploymentCancelled || !strings.Contains(got.Reason, "restore of the backup of 20") {
		t.Errorf("the deployment came back as %+v, %v", got, err)
	}
	agent := &api.Client{Base: r.url, Token: f.agent.Token}
	if next, err := agent.Next(t.Context(), 0); err != nil || next.Name != f.m.Name || next.Next == registry.Deploy {
		t.Errorf("the agent is told %+v, %v", next, err)
	}
	if got := r.run(t, "", "user", "list", "-o", "name"); got != "ana\n" {
		t.Errorf("who may sign in: %q", got)
	}
	if out := r.run(t, "", "audit"); !strings.Contains(out, "backup.restore") {
		t.Errorf("the audit log has no restore:\n%s", out)
	}
}

// A backup counts when it was read back, and then everybody is told.
func TestLastBackup(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.end(t)
	if code, stdout, _ := r.cli(t, "", "status"); code != 0 || strings.Contains(stdout, "backup") {
		t.Errorf("before any: %d %q", code, stdout)
	}
	if _, body := r.get(t, "/metrics"); !strings.Contains(body, "dragonfly_last_backup_timestamp_seconds 0\n") {
		t.Error("before any: the metric is not 0")
	}
	var piped bytes.Buffer
	if err := r.client().Backup(t.Context(), &piped); err != nil {
		t.Fatal(err)
	}
	if m, err := backup.Read(&piped, nil); err != nil || time.Since(m.At) > time.Minute || m.Schema == 0 {
		t.Errorf("by the API: %+v, %v", m, err)
	}
	if code, stdout, _ := r.cli(t, "", "status"); code != 0 || strings.Contains(stdout, "backup") {
		t.Errorf("one that nobody read back counts: %d %q", code, stdout)
	}
	if _, err := r.client().ConfirmBackup(t.Context(), strings.Repeat("0", 64)); api.Status(err) != http.StatusConflict {
		t.Errorf("another one read back: %v", err)
	}
	r.backedUp(t)
	if out := r.run(t, "", "status"); !strings.Contains(out, "last backup: ") {
		t.Errorf("status: %q", out)
	}
	if _, body := r.get(t, "/metrics"); !strings.Contains(body, "dragonfly_last_backup_timestamp_seconds 1.") {
		t.Error("the metric does not tell the last backup")
	}
	if _, body := r.get(t, "/health"); !strings.Contains(body, "Last backup") || !strings.Contains(body, "console") {
		t.Error("the page of the health does not tell the last backup")
	}
	var last registry.Backups
	if _, body := r.get(t, "/api/v1/backup/last"); json.Unmarshal([]byte(body), &last) != nil || last.Good.By != "console" || last.Good.SHA256 != last.Taken.SHA256 || last.Good.ReadAt.IsZero() {
		t.Errorf("the last backup is %+v", last)
	}
	if out := r.run(t, "", "audit"); strings.Count(out, "backup.take") != 2 || strings.Count(out, "backup.read_back") != 1 {
		t.Errorf("the audit log:\n%s", out)
	}
	if left, _ := filepath.Glob(filepath.Join(r.cfg.DataDir, copyPattern)); len(left) > 0 {
		t.Errorf("%q is left in the data directory", left)
	}
}

// Nothing is restored over what is there, nor from what is not whole, and nothing is left
// of the attempt.
func TestRestoreRefuses(t *testing.T) {
	r := start(t, testConfig(t))
	file := r.backedUp(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out := r.run(t, "", "restore", file, "--check"); !strings.HasPrefix(out, "whole: 0 machines") {
		t.Errorf("check: %q", out)
	}
	if code, _, stderr := r.cli(t, "", "backup", "-o", file); code != exitUsage || !strings.Contains(stderr, "is there already") {
		t.Errorf("over another backup: %d %q", code, stderr)
	}
	if code, _, stderr := r.cli(t, "", "restore", file); code == 0 || !strings.Contains(stderr, "stop it first") {
		t.Errorf("while it runs: %d %q", code, stderr)
	}
	r.end(t)
	if code, _, stderr := r.cli(t, "", "restore", file); code != exitUsage || !strings.Contains(stderr, "is not empty") {
		t.Errorf("into its own directory: %d %q", code, stderr)
	}
	for what, c := range map[string]struct {
		text []byte
		says string
	}{
		"cut short":       {whole[:len(whole)/2], "no whole backup"},
		"damaged":         {append(append(bytes.Clone(whole[:len(whole)/2]), whole[len(whole)/2]^1), whole[len(whole)/2+1:]...), "no whole backup"},
		"something else":  {[]byte("dear diary"), "no whole backup"},
		"of the future":   {repacked(t, whole, func(m *backup.Manifest) { m.Schema = 4096 }), "newer dragonfly"},
		"not a Dragonfly": {foreign(t), "check the database"},
	} {
		name := filepath.Join(t.TempDir(), "backup.tar.zst")
		if err := os.WriteFile(name, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		empty := &rig{cfg: testConfig(t)}
		if code, _, stderr := empty.cli(t, "", "restore", name); code == 0 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: %d %q, want %q", what, code, stderr, c.says)
		}
		if left, err := os.ReadDir(empty.cfg.DataDir); err != nil || len(left) != 1 { // its images
			t.Errorf("%s: %v is left, %v", what, left, err)
		}
	}
}

// repacked is a backup with another manifest.
func repacked(t *testing.T, whole []byte, change func(*backup.Manifest)) []byte {
	t.Helper()
	dir := t.TempDir()
	m, err := backup.Read(bytes.NewReader(whole), (&restoring{stage: dir}).unpack)
	if err != nil {
		t.Fatal(err)
	}
	change(&m)
	return packed(t, m, filepath.Join(dir, backup.Database), filepath.Join(dir, backup.SealingKey))
}

// foreign is a backup whose database is none.
func foreign(t *testing.T) []byte {
	t.Helper()
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	return packed(t, backup.Manifest{}, text, text)
}

func packed(t *testing.T, m backup.Manifest, database, key string) []byte {
	t.Helper()
	var out bytes.Buffer
	var sources []backup.Source
	for name, path := range map[string]string{backup.Database: database, backup.SealingKey: key} {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		sources = append(sources, backup.Source{Name: name, From: file})
	}
	if sources[0].Name != backup.Database {
		sources[0], sources[1] = sources[1], sources[0]
	}
	if err := backup.Write(&out, m, sources...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The database may be an rqlite elsewhere; while it is away nothing is called a backup.
func TestBackupOfAnRqliteElsewhere(t *testing.T) {
	db := newRqlited(t)
	db.start(t)
	cfg := testConfig(t)
	cfg.Rqlite = db.address
	r := start(t, cfg)
	defer r.end(t)
	m := r.register(t, registry.MAC{0x52, 0x54, 0, 0, 0, 1})
	file := r.backedUp(t)
	again := &rig{cfg: testConfig(t)}
	again.run(t, "", "restore", file)
	restored := start(t, again.cfg)
	defer restored.end(t)
	if got, err := restored.client().Machine(t.Context(), m.Name); err != nil || got.ID != m.ID {
		t.Errorf("the machine came back as %+v, %v", got, err)
	}
	db.end(t)
	dir := t.TempDir()
	if code, _, stderr := r.cli(t, "", "backup", "-o", dir); code != exitAgainLater || !strings.Contains(stderr, "the database is ") { // not available, or away as it has noticed meanwhile
		t.Errorf("while it is away: %d %q", code, stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
