package main

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// The environment of [TestKilledAppliance]. The first is for the operator of the
// test: how often to kill, 3 times by default. The others tell this binary to be
// the appliance that is killed.
const (
	envKills      = "DRAGONFLY_TEST_KILLS"
	envVictimDir  = "DRAGONFLY_TEST_VICTIM_DIR"
	envVictimPort = "DRAGONFLY_TEST_VICTIM_PORT"
)

// TestVictim is not a test but the child of [TestKilledAppliance]: `dragonfly
// serve`, until it is killed.
func TestVictim(t *testing.T) {
	dir, text := os.Getenv(envVictimDir), os.Getenv(envVictimPort)
	if dir == "" {
		return
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config{Host: "127.0.0.1", Port: port, DataDir: dir, ImageDir: dir + "/images", IPXEROM: "use"}
	if err := serve(t.Context(), cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

// TestKilledAppliance kills the appliance at random under a load of machines that
// register over HTTP. What was answered is there after the next start, each once,
// and of the others at most those that were under way.
func TestKilledAppliance(t *testing.T) {
	t.Parallel()
	lives := 3
	if text := os.Getenv(envKills); text != "" {
		var err error
		if lives, err = strconv.Atoi(text); err != nil || lives < 1 || lives > 200 {
			t.Fatalf("%s=%s: want a number from 1 to 200", envKills, text)
		}
	}
	cfg := testConfig(t)
	url := fmt.Sprintf("http://127.0.0.1:%d", cfg.Port)
	acked := map[registry.MAC]string{} // the machine's ID
	for life := range lives {
		victim := startVictim(t, cfg, url)
		wantAcked(t, url, acked, life*clients)
		load, enough := loadRacks(url, byte(life)), rand.N(300)
		for !load.has(enough) {
			time.Sleep(time.Millisecond)
		}
		if err := victim.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = victim.Wait() // it was killed
		load.stop.Store(true)
		load.all.Wait() // those under way fail, as they should
		for mac, id := range load.acked {
			acked[mac] = id
		}
	}
	startVictim(t, cfg, url)
	wantAcked(t, url, acked, lives*clients)
	t.Logf("killed %d times, %d machines acknowledged", lives, len(acked))
}

// startVictim starts an appliance of its own process and waits until it is ready.
func startVictim(t *testing.T, cfg config, url string) *exec.Cmd {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$")
	child.Env = append(os.Environ(), envVictimDir+"="+cfg.DataDir, envVictimPort+"="+strconv.Itoa(cfg.Port))
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill() // it may be dead already
		_ = child.Wait()
	})
	for range 12_000 {
		if resp, err := http.Get(url + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return child
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the appliance does not become ready")
	return nil
}

// wantAcked checks that each acknowledged machine is there, once, by its ID and its
// address.
func wantAcked(t *testing.T, url string, acked map[registry.MAC]string, underWay int) {
	t.Helper()
	all, err := (&api.Client{Base: url}).AllMachines(t.Context(), api.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	found, registered := map[registry.MAC]string{}, 0
	for _, m := range all {
		if !m.RegisteredAt.IsZero() {
			registered++
		}
		for _, mac := range m.MACs {
			if other, twice := found[mac]; twice {
				t.Errorf("%s belongs to %s and to %s", mac, other, m.ID)
			}
			found[mac] = m.ID
		}
	}
	missing := 0
	for mac, id := range acked {
		if found[mac] != id {
			missing++
		}
	}
	if missing > 0 || registered < len(acked) || registered > len(acked)+underWay {
		t.Errorf("of %d acknowledged machines %d are missing; %d are registered, and at most %d more were under way", len(acked), missing, registered, underWay)
	}
}
