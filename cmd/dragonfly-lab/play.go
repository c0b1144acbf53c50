package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// extras is how many machines play has.
const extras = 3

// houseOS is what the machines of a play are installed with: its image was uploaded.
const houseOS = "debian-13-house"

// actor is a machine that is simulated: what its agent would do is done over the API.
type actor struct {
	agent  *api.Client
	m      api.RegisterReply
	report api.ReportRequest // what it says again and again, if it has a deployment
}

// play is what happens at the appliance: one machine waits, with foreign data on its
// disk, one is being installed, and that of one has failed.
type play [extras]actor

// begin lets the machines register and install.
func begin(ctx context.Context, s *subject) (p play, err error) {
	if err := s.stock(ctx); err != nil {
		return p, fmt.Errorf("store an operating system: %w", err)
	}
	for i, report := range []api.ReportRequest{{}, {State: registry.ActionRunning,
		Progress: &registry.Progress{Stage: "writing", Done: 1_350_000_000, Total: 31_000_000_000, Rate: 412e6},
		Lines:    []string{"image2disk: fetching the image", "image2disk: writing /dev/nvme0n1, direct I/O"},
	}, {State: registry.ActionFailed, Message: "write /dev/nvme0n1: input/output error at 812 MB",
		Lines: []string{"image2disk: writing /dev/nvme0n1, direct I/O", "image2disk: input/output error"}}} {
		if p[i], err = s.register(ctx, i); err != nil {
			return p, fmt.Errorf("register machine %d: %w", i, err)
		}
		if report.State == "" {
			continue
		}
		if err := s.install(ctx, &p[i], report); err != nil {
			return p, err
		}
	}
	return p, nil
}

// goOn shows signs of life of all machines until ctx ends.
func (p *play) goOn(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for i := range p {
			if err := p[i].live(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// live is one sign of life.
func (a *actor) live(ctx context.Context) error {
	if a.report.State != registry.ActionRunning {
		_, err := a.agent.Next(ctx, 0)
		return err
	}
	done := a.report.Progress
	done.Done = min(done.Done+int64(done.Rate), done.Total*9/10)
	_, err := a.agent.Report(ctx, a.report)
	return err
}

// pages are those of the machines and deployments of the play.
func (p *play) pages() []view {
	return partPages(p[0].m.ID, p[1].m.ID, p[1].report.Deployment, p[2].report.Deployment)
}

// stock gives the appliance an operating system of which the image is there.
func (s *subject) stock(ctx context.Context) error {
	raw := bytes.Repeat([]byte("dragonfly"), 1<<18)
	raw = raw[:len(raw)/512*512]
	sum := sha256.Sum256(raw)
	text := hex.EncodeToString(sum[:])
	job, err := s.client.UploadImage(ctx, registry.ImageUpload{SHA256: text, Size: int64(len(raw))}, bytes.NewReader(raw))
	for ; err == nil && !job.State.Ended(); job, err = s.client.ImageJob(ctx, job.ID) {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	if job.State != registry.ImageJobSucceeded {
		return fmt.Errorf("import the image: %+v", job)
	}
	_, err = s.client.PutOS(ctx, registry.OS{ID: houseOS, Name: "Debian 13 of the house", Template: "plain-image", FirstBoot: registry.FirstBootNone,
		User: "debian", Images: map[string]registry.OSImage{"amd64": {SHA256: text}}})
	return err
}

// givenToken is where the script that a machine boots has the token of its agent.
var givenToken = regexp.MustCompile(`dragonfly\.token=(\S+)`)

// register boots the i-th actor from the network and registers it as its agent does.
func (s *subject) register(ctx context.Context, i int) (actor, error) {
	m := fleetMachine(1<<17 + i)
	m.Hardware.CPU.Arch = "amd64"
	if i > 0 {
		m.Hardware.Disks[0].Contents = registry.Blank
	} else {
		m.Hardware.Disks[0].Contents = registry.Foreign
		m.Hardware.Disks[0].Found = []registry.Signature{{On: m.Hardware.Disks[0].Name + "p1", Type: "ext4", Label: "photos"}}
	}
	script, err := s.booted(ctx, m.BootMAC())
	if err != nil {
		return actor{}, err
	}
	found := givenToken.FindStringSubmatch(script)
	if found == nil {
		return actor{}, fmt.Errorf("the script has no token:\n%s", script)
	}
	agent := &api.Client{Base: s.url, Token: found[1]}
	reply, err := agent.Register(ctx, api.RegisterRequest{MAC: m.BootMAC(), MACs: m.MACs, Hostname: m.Hostname, Hardware: m.Hardware})
	agent.Token = reply.Token
	return actor{agent: agent, m: reply}, err
}

// booted is the script that the machine is given.
func (s *subject) booted(ctx context.Context, mac registry.MAC) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/boot/"+mac.String()+"/auto.ipxe?arch=uefi-x64", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	script, err := io.ReadAll(resp.Body)
	return string(script), err
}

// install deploys to an actor, takes the deployment up as its agent, and reports.
func (s *subject) install(ctx context.Context, a *actor, report api.ReportRequest) error {
	if _, err := s.client.Deploy(ctx, a.m.ID, registry.DeployRequest{OS: houseOS}, false); err != nil {
		return fmt.Errorf("deploy to %s: %w", a.m.Name, err)
	}
	work, err := a.agent.Claim(ctx, "boot-0001")
	if err != nil {
		return fmt.Errorf("%s takes its deployment up: %w", a.m.Name, err)
	}
	report.Deployment, report.Attempt, report.Wrote = work.Deployment, work.Attempt, true
	if _, err := a.agent.Report(ctx, report); err != nil {
		return fmt.Errorf("%s reports: %w", a.m.Name, err)
	}
	a.report, a.report.Lines = report, nil
	return nil
}
