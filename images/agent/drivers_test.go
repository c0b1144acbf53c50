package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

func TestParseUevent(t *testing.T) {
	add := "add@/devices/pci0000:00/0000:00:01.0/virtio0\x00ACTION=add\x00SUBSYSTEM=virtio\x00MODALIAS=virtio:d00000001v00001AF4\x00SEQNUM=7\x00"
	want := uevent{Action: "add", Path: "/devices/pci0000:00/0000:00:01.0/virtio0", Subsystem: "virtio", Modalias: "virtio:d00000001v00001AF4"}
	if got, ok := parseUevent([]byte(add)); !ok || got != want {
		t.Errorf("got %+v %v", got, ok)
	}
	for _, other := range []string{"", "libudev\x00\xfe\xed\xca\xfe", "add@nowhere", "\x00\x00"} {
		if got, ok := parseUevent([]byte(other)); ok {
			t.Errorf("%q is taken for %+v", other, got)
		}
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00SUBSYSTEM=block\x00DEVTYPE=disk\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if ev, ok := parseUevent(data); ok && ev.Path[0] != '/' {
			t.Errorf("%q: %+v", data, ev)
		}
	})
}

func TestWhatIsHardware(t *testing.T) {
	for _, test := range []struct {
		ev   uevent
		want bool
	}{
		{uevent{Action: "add", Path: "/devices/pci0000:00/x/block/sda", Subsystem: "block", Devtype: "disk"}, true},
		{uevent{Action: "remove", Path: "/devices/pci0000:00/x/block/sda", Subsystem: "block", Devtype: "disk"}, true},
		{uevent{Action: "change", Path: "/devices/pci0000:00/x/block/sda", Subsystem: "block", Devtype: "disk"}, false},
		{uevent{Action: "add", Path: "/devices/pci0000:00/x/block/sda/sda1", Subsystem: "block", Devtype: "partition"}, false},
		{uevent{Action: "add", Path: "/devices/virtual/block/loop0", Subsystem: "block", Devtype: "disk"}, false},
		{uevent{Action: "add", Path: "/devices/pci0000:00/x/net/eth0", Subsystem: "net"}, true},
	} {
		if got := test.ev.hardware(); got != test.want {
			t.Errorf("%+v: %v", test.ev, got)
		}
	}
}

// loads records what drivers wants loaded.
type loads struct {
	mu    sync.Mutex
	names []string
}

func (l *loads) load(modalias string) ([]string, error) {
	time.Sleep(100 * time.Millisecond) // in the bubble's time
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, modalias)
	return nil, nil
}

func (l *loads) sorted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.names))
}

func newDrivers(root fstest.MapFS, l *loads) (*drivers, chan uevent) {
	events := make(chan uevent)
	return &drivers{
		root: tree{root}, load: l.load, events: events, log: slog.New(slog.DiscardHandler),
		settled: make(chan struct{}), late: make(chan struct{}, 1),
	}, events
}

func TestDriversForWhatIsThereAndWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &loads{}
		d, events := newDrivers(fstest.MapFS{
			"sys/bus/pci/devices/0000:00:01.0/modalias": {Data: []byte("pci:a\n")},
			"sys/bus/pci/devices/0000:00:02.0/modalias": {Data: []byte("pci:a\n")},
			"sys/bus/acpi/devices/x/modalias":           {Data: []byte("acpi:b\n")},
			"sys/bus/acpi/devices/y/path":               {},
		}, l)
		var wg sync.WaitGroup
		wg.Go(func() { d.run(ctx) })
		// A bus shows a device while its driver loads.
		events <- uevent{Action: "add", Modalias: "virtio:c"}
		events <- uevent{Action: "add", Modalias: "virtio:c"}
		events <- uevent{Action: "remove", Modalias: "virtio:d"}
		<-d.settled
		if got, want := l.sorted(), []string{"acpi:b", "pci:a", "virtio:c"}; !slices.Equal(got, want) {
			t.Errorf("settled with %v, want %v", got, want)
		}
		events <- uevent{Action: "add", Path: "/devices/x", Subsystem: "block", Devtype: "disk", Modalias: "scsi:e"}
		<-d.late
		cancel()
		wg.Wait()
		if got := l.sorted(); !slices.Contains(got, "scsi:e") {
			t.Errorf("a late device is not driven: %v", got)
		}
	})
}

func TestDriversWaitForDisksOfAControllerButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d, _ := newDrivers(fstest.MapFS{"sys/class/nvme/nvme0/model": {Data: []byte("x")}}, &loads{})
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() { d.run(ctx) })
		<-d.settled
		if took := time.Since(start); took < controllerFor || took > controllerFor+time.Second {
			t.Errorf("settled after %v, want about %v", took, controllerFor)
		}
		cancel()
		wg.Wait()
	})
}

func TestDriversScanAgainWhenEventsWereLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, root := &loads{}, fstest.MapFS{"sys/bus/pci/devices/a/modalias": {Data: []byte("pci:a")}}
		d, events := newDrivers(root, l)
		var wg sync.WaitGroup
		wg.Go(func() { d.run(ctx) })
		<-d.settled
		synctest.Wait()
		root["sys/bus/pci/devices/b/modalias"] = &fstest.MapFile{Data: []byte("pci:b")}
		events <- uevent{Action: "lost"}
		synctest.Wait()
		cancel()
		wg.Wait()
		if got := l.sorted(); !slices.Equal(got, []string{"pci:a", "pci:b"}) {
			t.Errorf("loaded %v", got)
		}
	})
}

func TestEmptyControllers(t *testing.T) {
	dir := &fstest.MapFile{}
	root := fstest.MapFS{
		"sys/class/nvme/nvme0/nvme0n1/size":                  {Data: []byte("1")},
		"sys/class/nvme/nvme1/model":                         dir,
		"sys/class/scsi_host/host0/proc_name":                {Data: []byte("ahci\n")},
		"sys/class/scsi_host/host1/proc_name":                {Data: []byte("megaraid_sas\n")},
		"sys/class/scsi_host/host2/proc_name":                {Data: []byte("mpt3sas\n")},
		"sys/class/scsi_host/host2/device/target2:0:0/x":     dir,
		"sys/class/scsi_host/host3/proc_name":                {Data: []byte("ata_piix\n")},
		"sys/class/scsi_host/host4/proc_name":                {Data: []byte("usb-storage\n")},
		"sys/class/scsi_host/host1/device/power/autosuspend": dir,
	}
	if got, want := emptyControllers(tree{root}), []string{"nvme1", "host1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
