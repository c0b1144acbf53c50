package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

const (
	pollFor    = 30 * time.Second // one long poll
	pollMin    = time.Second      // from one poll to the next
	maxRefusal = 5                // refusals in a row before the machine restarts
)

// backoff is the wait before the next try: it doubles from 250 ms up to 30 s,
// and each machine waits its own random half to whole of it, so that a rack
// does not come back at once.
type backoff struct{ next time.Duration }

func (b *backoff) wait(ctx context.Context) {
	b.next = min(max(2*b.next, 250*time.Millisecond), 30*time.Second)
	pause(ctx, b.next/2+rand.N(b.next/2))
}

// refused reports a status that no repetition heals: the token expired, is
// another machine's, or the machine was removed.
func refused(err error) bool {
	switch api.Status(err) {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// retry calls try until it succeeds, ctx ends, or the server refused it several
// times in a row, which is [errRefused]. A server that is away is waited for.
func (a *agent) retry(ctx context.Context, what string, try func() error) error {
	var pace backoff
	for refusals := 0; ; {
		err := try()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case refused(err):
			if refusals++; refusals >= maxRefusal {
				return fmt.Errorf("%s: %w: %w", what, errRefused, err)
			}
		default:
			refusals = 0
		}
		a.problem(fmt.Errorf("%s: %w", what, err))
		pace.wait(ctx)
	}
}

// register reports the hardware until the server has taken it.
func (a *agent) register(ctx context.Context, hardware registry.Hardware) (api.RegisterReply, error) {
	a.screen.doing("registering")
	client := &api.Client{Base: a.Boot.URL, Token: a.Boot.Token, HTTP: a.HTTP}
	var reply api.RegisterReply
	err := a.retry(ctx, "register", func() (err error) {
		reply, err = client.Register(ctx, request(a.Boot.MAC, hardware, a.screen.ports()))
		return err
	})
	if err != nil {
		return reply, err
	}
	fmt.Fprintf(a.Console, "dragonfly: registered as %s in %s\n", clean(reply.Name), seconds(a.Uptime()-a.Started))
	return reply, nil
}

// lateFor is how long hardware that comes late is collected: the disks behind an
// adapter come one by one.
const lateFor = 2 * time.Second

// follow reports the hardware again when more of it has appeared. It tries once:
// the boot token may have expired by then, and the machine is registered anyway.
func (a *agent) follow(ctx context.Context, last registry.Hardware) {
	client := &api.Client{Base: a.Boot.URL, Token: a.Boot.Token, HTTP: a.HTTP}
	for {
		select {
		case <-a.Late:
		case <-ctx.Done():
			return
		}
		pause(ctx, lateFor)
		now := a.Hardware(ctx)
		if ctx.Err() != nil || reflect.DeepEqual(now, last) {
			continue
		}
		if _, err := client.Register(ctx, request(a.Boot.MAC, now, a.screen.ports())); err != nil {
			a.Log.Warn("report hardware that came late", "err", err)
			continue
		}
		a.Log.Info("reported hardware that came late", "disks", len(now.Disks), "nics", len(now.NICs))
		a.showMissing(now)
		last = now
	}
}

// request is the registration with what the network knows by now. A machine that
// was not told where it booted from names the first port with an address.
func request(boot registry.MAC, hardware registry.Hardware, ports []Port) api.RegisterRequest {
	hardware.NICs = slices.Clone(hardware.NICs)
	req := api.RegisterRequest{MAC: boot, Hardware: hardware}
	for i, nic := range hardware.NICs {
		if nic.MAC.Unicast() {
			req.MACs = append(req.MACs, nic.MAC)
		}
		for _, p := range ports {
			if p.MAC == nic.MAC && p.Name == nic.Name && p.Address.IsValid() {
				hardware.NICs[i].Address, hardware.NICs[i].Link = p.Address.Addr(), true
			}
		}
	}
	for _, p := range ports {
		if !p.Address.IsValid() {
			continue
		}
		if req.MAC == (registry.MAC{}) {
			req.MAC = p.MAC
		}
		if req.Hostname == "" {
			req.Hostname = p.Hostname
		}
	}
	return req
}

// obey carries out instructions until one ends the run.
func (a *agent) obey(ctx context.Context, reply api.RegisterReply) error {
	client := &api.Client{Base: a.Boot.URL, Token: reply.Token, HTTP: a.HTTP}
	next := api.NextReply{Name: reply.Name, State: reply.State, Next: reply.Next}
	for asked := (time.Time{}); ; {
		a.screen.change(func(v *View) { v.Name, v.State = next.Name, string(next.State) })
		if next.Next == registry.Deploy && a.Boot.Tink.Authority == "" {
			if done, err := a.deploy(ctx, client); done || err != nil {
				return err
			}
		} else if done, err := a.act(ctx, next.Next); done {
			return err
		}
		a.screen.doing("waiting for instructions")
		pause(ctx, pollMin-time.Since(asked)) // a server that does not hold polls is not hammered
		asked = time.Now()
		err := a.retry(ctx, "ask for instructions", func() (err error) {
			next, err = client.Next(ctx, pollFor)
			return err
		})
		if err != nil {
			return err
		}
		if next.Token != "" {
			client.Token = next.Token
		}
	}
}

// hereFor is how long a worker of Tinkerbell's waits before it asks again, while there is
// work of Tinkerbell's for the machine.
const hereFor = 10 * time.Second

// act carries out one instruction; done says that it was the last.
func (a *agent) act(ctx context.Context, what registry.Instruction) (done bool, err error) {
	switch what {
	case registry.Wait, "":
		return false, nil
	case registry.Deploy:
		a.Log.Warn("a deployment of the built-in engine waits, and this boot works for Tinkerbell; restart the machine for it")
		return false, nil
	case registry.EnterOSIE:
		if a.Boot.Tink.Authority != "" {
			pause(ctx, hereFor) // it is here, and the server says so at once
			return false, nil
		}
		a.screen.doing("restarting, to work for Tinkerbell")
		return true, a.restart(ctx)
	case registry.Reboot:
		a.acting.Lock() // not amid an action
		a.screen.doing("restarting")
		return true, a.goOn(a.restart(ctx))
	case registry.LocalBoot:
		a.acting.Lock()
		return true, a.goOn(a.restartFromDisk(ctx))
	default:
		a.Log.Warn("an instruction this agent does not know; waiting on", "instruction", clean(string(what)))
		return false, nil
	}
}

// goOn lets actions begin again where the machine could not be restarted: acting is
// held over a restart, so that none begins any more.
func (a *agent) goOn(err error) error {
	if err != nil {
		a.acting.Unlock()
	}
	return err
}
