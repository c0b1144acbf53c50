package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/registrytest"
)

// installing has every machine of a vendor installed that registers.
func (g *rig) installing(t *testing.T, os string) {
	t.Helper()
	g.installingAtOnce(t, os, 0)
}

// installingAtOnce has so many of them installed at once; 0: all.
func (g *rig) installingAtOnce(t *testing.T, os string, n int) {
	t.Helper()
	rules := []registry.Rule{{Name: "metal", Set: registry.RuleSetTo{OS: os, AutoDeploy: true, Concurrency: n}}}
	if _, err := g.SetRules(by(t, "ana"), registry.AnyVersion, rules); err != nil {
		t.Fatal(err)
	}
}

// A rule deploys what registers for the first time, on a disk that is blank.
func TestRuleDeploys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		g.installing(t, "linux")
		if m := g.boot(t, 1, disk("sda", "S1", 8e9)); m.Deployment != "" || m.OS != "" {
			t.Errorf("one that had registered before has deployment %q of %q", m.Deployment, m.OS)
		}
		g.m = g.boot(t, 2, disk("sda", "S1", 8e9), disk("sdb", "S2", 16e9))
		time.Sleep(time.Second)
		d, m := g.is(t, g.m.Deployment, registry.DeploymentWaiting, registry.Installing, registry.BootAgent)
		if d.Disk.Serial != "S1" || d.OS != "linux" || d.By != `rule "metal"` || m.OS != "linux" || len(d.Actions) != 2 {
			t.Errorf("deployment %+v of %s", d, m.OS)
		}
		timeline, err := g.Timeline(t.Context(), m.ID, 0, 100)
		if err != nil || !told(timeline, `deployment of linux: asked for, by rule "metal"`) || !told(timeline, "which is installed at once") {
			t.Errorf("the timeline says %+v, %v", timeline, err)
		}
		g.carryOut(t, g.claim(t, "boot-1"))
		if again := g.boot(t, 2, disk("sda", "S1", 8e9)); again.Deployment != d.ID {
			t.Errorf("registering again gave it deployment %s", again.Deployment)
		}
	})
}

// A row of racks that is switched on at once is installed so many at a time, in the
// order in which the machines registered.
func TestRuleDeploysInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		g.installingAtOnce(t, "linux", 2)
		var ids []string
		for n := range byte(4) {
			m := g.boot(t, 2+n, disk("sda", fmt.Sprintf("S%d", n), 8e9))
			ids = append(ids, m.ID)
			time.Sleep(time.Second)
		}
		states := func() (s string) {
			for _, id := range ids {
				m, err := g.Machine(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				d, err := g.Deployment(t.Context(), m.Deployment)
				if err != nil {
					t.Fatal(err)
				}
				s += string(d.State) + " "
			}
			return s
		}
		if s := states(); s != "waiting waiting pending pending " {
			t.Errorf("at first they are %s", s)
		}
		first, err := g.Machine(t.Context(), ids[0])
		if err != nil {
			t.Fatal(err)
		}
		if timeline, err := g.Timeline(t.Context(), ids[3], 0, 100); err != nil || !told(timeline, "which is installed when its turn comes") {
			t.Errorf("the timeline says %+v, %v", timeline, err)
		}
		if _, err := g.Cancel(by(t, "ana"), first.Deployment); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s := states(); s != "cancelled waiting waiting pending " {
			t.Errorf("once one has ended they are %s", s)
		}
	})
}

// What a rule deploys to a machine on whose disk anything is, or that cannot take it,
// fails, and the machine is as good as it was.
func TestRuleDoesNotErase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		g.installing(t, "linux")
		used := disk("sda", "S1", 8e9)
		used.Contents = registry.Foreign
		for n, c := range map[byte]struct {
			disk registry.Disk
			why  string
		}{2: {used, "is not blank"}, 3: {disk("sda", "S3", 1e9), "4 GB are needed"}} {
			g.m = g.boot(t, n, c.disk)
			time.Sleep(time.Second)
			d, _ := g.is(t, g.m.Deployment, registry.DeploymentFailed, registry.Ready, "")
			if !strings.Contains(d.Reason, c.why) || !strings.Contains(d.Reason, "nothing was begun") || strings.Contains(d.Reason, "invalid") || d.Wrote {
				t.Errorf("machine %d: failed because %s", n, d.Reason)
			}
		}
		if _, err := g.Deploy(by(t, "ana"), g.m.ID, registry.DeployRequest{OS: "quiet"}, registry.Batch{}); err != nil {
			t.Errorf("an operator's deployment after it: %v", err)
		}
	})
}

// What an operator has said a machine is for is not overruled.
func TestRuleLeavesWhatIsMeantForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, registrytest.Memory())
		g.installing(t, "linux")
		reg := registration(7, "", "SN-7")
		imported(t, g.Registry, registry.Listed{Name: "seven", MACs: reg.MACs, OS: new("quiet")})
		m := g.boot(t, 7, disk("sda", "S1", 8e9))
		time.Sleep(time.Second)
		if m, err := g.Machine(t.Context(), m.ID); err != nil || m.Deployment != "" || m.OS != "quiet" || m.State != registry.Ready {
			t.Errorf("%s is %s, with deployment %q of %s: %v", m.Name, m.State, m.Deployment, m.OS, err)
		}
	})
}

// An image that is missing is fetched first.
func TestRuleDeploysWhatIsFetchedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		g := shelved(t, s)
		g.installing(t, "linux")
		g.m = g.boot(t, 2, disk("sda", "S1", 8e9))
		time.Sleep(time.Second)
		d, _ := g.is(t, g.m.Deployment, registry.DeploymentPending, registry.Ready, "")
		if d.Image.URL != "http://x/linux.qcow2" {
			t.Errorf("it waits for %+v", d.Image)
		}
		s.put("/boot/images/linux", nil)
		g.changed()
		d, _ = g.is(t, d.ID, registry.DeploymentWaiting, registry.Installing, registry.BootAgent)
		if d.Disk.Serial != "S1" {
			t.Errorf("on disk %+v", d.Disk)
		}
	})
}
