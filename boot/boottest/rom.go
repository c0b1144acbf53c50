package boottest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pin/tftp/v3"

	"dragonfly/boot"
	"dragonfly/registry"
)

// ROM is a machine's firmware. Servers are named by address and port because on
// loopback nothing can be broadcast.
type ROM struct {
	MAC  registry.MAC
	UUID [16]byte
	Arch boot.Arch
	Kind boot.Kind
	// Features are those of an iPXE in ROM.
	Features boot.Features
	// AskBINL makes it ask again on port 4011 even if the offer has a file, as
	// firmware does that ignores option 43.
	AskBINL bool
	// ForgetLease makes the program it loads start without its lease, so that it
	// looks like a ROM again.
	ForgetLease bool
	// Relay is the relay agent that the DISCOVER came through; zero where none.
	Relay netip.Addr

	broadcast        bool
	DHCP, BINL, TFTP netip.AddrPort // where the servers listen
	Local            netip.AddrPort // where the ROM listens for DHCP answers
	HTTP             *http.Client
}

// Boot is what a ROM saw on its way.
type Boot struct {
	Program  string // file name or URL of the program; empty where a ROM went straight to the script
	Size     int    // of the program, in bytes
	URL      string // of the script
	Script   string
	Requests int // DHCP packets sent
}

// maxLoads ends a chain that goes round in circles.
const maxLoads = 4

// ErrLoop is returned where the chain loads programs without end.
var ErrLoop = errors.New("the chain does not end: every program is given another program")

// Run boots: DISCOVER, port 4011 where needed, the program, and again as iPXE,
// until there is a script.
func (r ROM) Run(ctx context.Context) (Boot, error) {
	var seen Boot
	for range maxLoads {
		answer, err := r.ask(ctx, &seen)
		if err != nil {
			return seen, err
		}
		if r.Kind == boot.IPXE && strings.HasPrefix(answer.File, "http://") {
			seen.URL = answer.File
			script, err := r.get(ctx, answer.File)
			seen.Script = string(script)
			return seen, err
		}
		program, err := r.load(ctx, answer)
		if err != nil {
			return seen, err
		}
		seen.Program, seen.Size = answer.File, len(program)
		r = r.chained()
	}
	return seen, ErrLoop
}

// ask does the DHCP of one stage.
func (r ROM) ask(ctx context.Context, seen *Boot) (Answer, error) {
	seen.Requests++
	offer, err := r.Discover(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("DISCOVER: %w", err)
	}
	if !r.AskBINL && offer.File != "" || r.Kind != boot.PXE {
		return offer, nil
	}
	seen.Requests++
	ack, err := r.Request(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("REQUEST on port 4011: %w", err)
	}
	return ack, nil
}

// chained is the iPXE that the ROM has loaded: Debian's build, whose card already
// has the firmware's address.
func (r ROM) chained() ROM {
	r.Kind, r.Features, r.AskBINL = boot.IPXE, boot.HTTP, false
	switch r.Arch { // an iPXE is a UEFI program, however it was loaded
	case boot.HTTPX64:
		r.Arch = boot.UEFIX64
	case boot.HTTPARM64:
		r.Arch = boot.UEFIARM64
	}
	r.broadcast = !r.ForgetLease
	return r
}

// load fetches a program as the firmware does: by HTTP, with the HEAD that OVMF
// sends first, or by TFTP.
func (r ROM) load(ctx context.Context, a Answer) ([]byte, error) {
	if r.Kind != boot.HTTPBoot {
		return r.fetch(a.File)
	}
	head, err := r.do(ctx, http.MethodHead, a.File)
	if err != nil {
		return nil, err
	}
	defer head.Body.Close()
	body, err := r.get(ctx, a.File)
	if err == nil && head.ContentLength != int64(len(body)) {
		err = fmt.Errorf("HEAD %s said %d bytes, GET gave %d", a.File, head.ContentLength, len(body))
	}
	return body, err
}

// fetch loads a file by TFTP with the block size of iPXE.
func (r ROM) fetch(name string) ([]byte, error) {
	client, err := tftp.NewClient(r.TFTP.String())
	if err != nil {
		return nil, err
	}
	client.SetBlockSize(1432)
	client.RequestTSize(true)
	from, err := client.Receive(name, "octet")
	if err != nil {
		return nil, fmt.Errorf("tftp %.64q: %w", name, err)
	}
	var body bytes.Buffer
	if _, err := from.WriteTo(&body); err != nil {
		return nil, fmt.Errorf("tftp %.64q: %w", name, err)
	}
	return body.Bytes(), nil
}

// maxBody bounds what is read of one answer.
const maxBody = 64 << 20

func (r ROM) get(ctx context.Context, url string) ([]byte, error) {
	resp, err := r.do(ctx, http.MethodGet, url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxBody))
}

func (r ROM) do(ctx context.Context, method, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	client := r.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	return resp, nil
}
