package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/registry"
	"dragonfly/registry/api"
	"dragonfly/registry/auth"
)

// fleet makes the requests of machines, each told from the others by its number:
// every address, serial number and UUID has it.
type fleet struct {
	tokens *auth.Tokens // nil: without a token
	body   []byte
	digits []int // where the number is in it
	inMACs []int // where it is in an address
	next   atomic.Int64
}

// number stands where the machine's own goes: six hexadecimal digits, or three
// bytes of an address.
const (
	number      = "f0f0f0"
	numberInMAC = "f0:f0:f0"
)

// newFleet makes machines of about 4 kB.
func newFleet(tokens *auth.Tokens) *fleet {
	body, err := json.Marshal(server())
	if err != nil {
		panic(err) // a constant
	}
	return &fleet{tokens: tokens, body: body, digits: places(body, number), inMACs: places(body, numberInMAC)}
}

// places is where a text has a part.
func places(text []byte, part string) (all []int) {
	for _, found := range regexp.MustCompile(part).FindAllIndex(text, -1) {
		all = append(all, found[0])
	}
	return all
}

// server is a rack server of the common kind, as its agent reports it.
func server() api.RegisterRequest {
	mac := func(port byte) registry.MAC { return registry.MAC{0x52, 0x54, port, 0xf0, 0xf0, 0xf0} }
	h := registry.Hardware{
		System: registry.System{Vendor: "Dell Inc.", Product: "PowerEdge R650", Serial: "SN" + number,
			UUID: "4c4c4544-0042-3510-8052-b4c04f" + number},
		Firmware: registry.Firmware{Mode: "uefi", Vendor: "Dell Inc.", Version: "1.12.1", Date: "09/13/2026", SecureBoot: "disabled", TPM: "2.0"},
		CPU:      registry.CPU{Arch: "amd64", Vendor: "GenuineIntel", Model: "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", Sockets: 2, Cores: 64, Threads: 128},
		Memory:   registry.Memory{Bytes: 512 << 30},
		BMC:      &registry.BMC{Address: netip.MustParseAddr("10.1.2.3"), MAC: mac(9), Version: "6.10.30"},
	}
	for slot := range 16 {
		h.Memory.DIMMs = append(h.Memory.DIMMs, registry.DIMM{Slot: fmt.Sprintf("A%d", slot+1), Bytes: 32 << 30, Type: "DDR4", MTs: 3200,
			Vendor: "Hynix Semiconductor", Part: "HMA84GR7DJR4N-XN", Serial: fmt.Sprintf("%02X%s", slot, number)})
	}
	for disk := range 6 {
		serial := fmt.Sprintf("S64%d%s", disk, number)
		h.Disks = append(h.Disks, registry.Disk{Name: fmt.Sprintf("nvme%dn1", disk), Model: "SAMSUNG MZQL23T8HCLS-00A07", Serial: serial,
			ByID: "/dev/disk/by-id/nvme-SAMSUNG_MZQL23T8HCLS-00A07_" + serial, WWN: "eui.36344630" + number, Bytes: 3840755982336, Transport: "nvme"})
	}
	for port := range byte(4) {
		h.NICs = append(h.NICs, registry.NIC{Name: fmt.Sprintf("eno%d", port+1), MAC: mac(port), Driver: "bnxt_en", SpeedMbit: 25000, Link: port < 2,
			PCI: fmt.Sprintf("0000:31:00.%d", port), PCIID: "14e4:16d7"})
	}
	return api.RegisterRequest{MAC: mac(0), MACs: []registry.MAC{mac(0), mac(1), mac(2), mac(3)}, Hostname: "host-" + number, Hardware: h}
}

// request appends the whole HTTP request that registers the n-th machine.
func (f *fleet) request(text []byte, n int64) []byte {
	digits := fmt.Sprintf("%06x", n)
	inMAC := digits[:2] + ":" + digits[2:4] + ":" + digits[4:]
	text = append(text, "POST /api/v1/agent/register HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"...)
	if f.tokens != nil {
		text = append(text, "Authorization: Bearer "...)
		text = append(text, f.tokens.Boot(registry.MAC{0x52, 0x54, 0, byte(n >> 16), byte(n >> 8), byte(n)})...)
		text = append(text, "\r\n"...)
	}
	text = fmt.Appendf(text, "Content-Length: %d\r\n\r\n", len(f.body))
	body := len(text)
	text = append(text, f.body...)
	for _, at := range f.digits {
		copy(text[body+at:], digits)
	}
	for _, at := range f.inMACs {
		copy(text[body+at:], inMAC)
	}
	return text
}

// caller is a client with one connection. It costs as little as it can, since it
// shares the processors with what it measures.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(address string) (*caller, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &caller{conn, bufio.NewReader(conn)}, nil
}

// call sends a request and reads the answer, whose status must be 2xx.
func (c *caller) call(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	status, length := string(line), 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if strings.HasPrefix(status, "HTTP/1.1 2") {
		_, err := c.in.Discard(length)
		return err
	}
	body, err := io.ReadAll(io.LimitReader(c.in, int64(length)))
	return errors.Join(err, fmt.Errorf("%s: %.300s", strings.TrimSpace(status), body))
}

// outcome is what a load got.
type outcome struct {
	took    []time.Duration // of each request, sorted
	elapsed time.Duration
}

func (o outcome) rate() float64 { return float64(len(o.took)) / o.elapsed.Seconds() }

// quantile is the time within which a share of the requests were answered.
func (o outcome) quantile(share float64) time.Duration {
	if len(o.took) == 0 {
		return 0
	}
	return o.took[min(len(o.took)-1, int(share*float64(len(o.took))))]
}

// press lets clients call at once, each with what work gives it, until that gives
// nothing. What work returns beside the request is when that was due; zero: now. It may
// write the request over the client's last one.
func press(tb testing.TB, address string, clients int, work func(last []byte) (request []byte, due time.Time)) outcome {
	tb.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var total outcome
	var failed error
	ready := make([]*caller, clients)
	for i := range ready {
		c, err := dial(address)
		if err != nil {
			tb.Fatal(err)
		}
		defer c.conn.Close()
		ready[i] = c
	}
	begin := time.Now()
	for _, c := range ready {
		all.Go(func() {
			var took []time.Duration
			var err error
			for request, due := work(nil); request != nil && err == nil; request, due = work(request[:0]) {
				from := cmp.Or(due, time.Now())
				err = c.call(request)
				took = append(took, time.Since(from))
			}
			mu.Lock()
			defer mu.Unlock()
			total.took, failed = append(total.took, took...), errors.Join(failed, err)
		})
	}
	all.Wait()
	total.elapsed = time.Since(begin)
	if failed != nil {
		tb.Fatalf("%d clients: %.500s", clients, failed)
	}
	slices.Sort(total.took)
	return total
}

// closed registers machine after machine for a time, without a pause.
func (f *fleet) closed(tb testing.TB, address string, clients int, long time.Duration) outcome {
	end := time.Now().Add(long)
	return press(tb, address, clients, func(last []byte) ([]byte, time.Time) {
		if time.Now().After(end) {
			return nil, time.Time{}
		}
		return f.request(last, f.next.Add(1)), time.Time{}
	})
}

// open registers machines at a rate, whether or not the answers keep up: a
// request counts from when it was due.
func (f *fleet) open(tb testing.TB, address string, rate int, long time.Duration) outcome {
	const clients = 200
	begin, every := time.Now(), time.Second/time.Duration(rate)
	var sent atomic.Int64
	return press(tb, address, clients, func(last []byte) ([]byte, time.Time) {
		due := begin.Add(every * time.Duration(sent.Add(1)))
		if due.Sub(begin) > long {
			return nil, time.Time{}
		}
		request := f.request(last, f.next.Add(1))
		time.Sleep(time.Until(due))
		return request, due
	})
}

// storm registers count machines, each once, from clients at once. The requests are
// made before: machines share no processor with what answers them.
func (f *fleet) storm(tb testing.TB, address string, clients, count int) outcome {
	requests := make(chan []byte, count)
	for range count {
		requests <- f.request(nil, f.next.Add(1))
	}
	close(requests)
	return press(tb, address, clients, func([]byte) ([]byte, time.Time) { return <-requests, time.Time{} })
}

// again registers the first machines of the fleet once more, for a time.
func (f *fleet) again(tb testing.TB, address string, clients, count int, long time.Duration) outcome {
	end := time.Now().Add(long)
	var sent atomic.Int64
	return press(tb, address, clients, func(last []byte) ([]byte, time.Time) {
		if time.Now().After(end) {
			return nil, time.Time{}
		}
		return f.request(last, 1+sent.Add(1)%int64(count)), time.Time{}
	})
}
