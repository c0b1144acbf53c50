package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How long things may take before they count as broken. The machines that run
// the lab are shared and noisy: these say "never", the limits of the report say
// "slow".
const (
	startLimit = 20 * time.Second // the appliance, from start to ready
	bootLimit  = 6 * time.Minute  // a machine, from power-on to ready, also where its kernel has taken a late timer for a broken one, and starts over
	stopGrace  = 5 * time.Second  // the appliance promises to end within it
)

// options are the flags that every subcommand shares.
type options struct {
	Dragonfly string // the appliance's binary
	ImageDir  string // what "dragonfly image build" made
	Accel     string // tcg or kvm
	ROMs      string // directory of QEMU's network ROMs; empty: fetch Debian 13's
	Keep      bool   // keep the logs and packets of boots that went well, too
}

// tools is what the lab runs, and the Debian package that has it.
var tools = []tool{
	{"ip", "iproute2"},
	{"dnsmasq", "dnsmasq-base"},
	{"tcpdump", "tcpdump"},
	{"qemu-system-x86_64", "qemu-system-x86"},
}

// ovmfFiles are the code and the variables of OVMF, from Debian's package ovmf.
var ovmfFiles = [2]string{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}

// check says everything that is missing, with what to do about it, and makes
// the paths absolute.
func (o *options) check() error {
	if os.Geteuid() != 0 {
		return errors.New("the lab makes network namespaces: run it as root, for example with sudo")
	}
	missing := lacking(tools)
	if !exists(ovmfFiles[0]) {
		missing = append(missing, ovmfFiles[0]+" (apt-get install ovmf)")
	}
	if !exists(o.Dragonfly) {
		missing = append(missing, o.Dragonfly+" (make build, or name it with --dragonfly)")
	}
	if kernel := o.kernel(); !exists(kernel) {
		missing = append(missing, kernel+" (make image, or name the directory with --image-dir)")
	}
	if len(missing) > 0 {
		return fmt.Errorf("the lab lacks:\n  %s", strings.Join(missing, "\n  "))
	}
	if o.Accel != "tcg" && o.Accel != "kvm" {
		return fmt.Errorf("--accel %q: want tcg or kvm", o.Accel)
	}
	return o.absolute()
}

func (o *options) absolute() (err error) {
	for _, path := range []*string{&o.Dragonfly, &o.ImageDir} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) kernel() string { return filepath.Join(o.ImageDir, "amd64", "vmlinuz") }
func (o *options) initrd() string { return filepath.Join(o.ImageDir, "amd64", "initramfs.zst") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
