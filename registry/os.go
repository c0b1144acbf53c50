package registry

import "strings"

// OS is an operating system of the catalogue: where its images are, how it is
// installed and how it starts. Sizes are in bytes.
type OS struct {
	ID        string             `json:"id" doc:"such as debian-12" example:"debian-12"`
	Name      string             `json:"name" example:"Debian 12 (bookworm)"`
	Version   string             `json:"version,omitempty" doc:"as its os-release has VERSION_ID" example:"12"`
	Images    map[string]OSImage `json:"images,omitempty" doc:"by architecture, amd64 or arm64; may be left out where the template is one of Tinkerbell's cluster, which has its own"`
	Template  string             `json:"template" doc:"the name of a shipped template, the text of one, or tinkerbell:NAME for the Template of that name in Tinkerbell's cluster" example:"cloud-image"`
	Values    map[string]string  `json:"values,omitempty" doc:"what its template asks for by these names, such as root_partition"`
	User      string             `json:"user,omitempty" doc:"who signs in where nothing else is said" example:"debian"`
	FirstBoot FirstBoot          `json:"first_boot" enum:"cloud-init,ignition,talos,none" doc:"what configures it when it starts for the first time"`
	Engine    Engine             `json:"engine,omitempty" enum:"builtin,tinkerbell" doc:"what carries out its deployments; what this installation says where it is left out"`
	OSIE      OSIE               `json:"osie,omitempty" enum:"agent,hook,smee" doc:"the installation environment that its machines boot where Tinkerbell carries its deployments out, as --osie says for the others; hook where the template has actions that our agent does not know"`
	MinDisk   int64              `json:"min_disk,omitempty" doc:"bytes; a smaller disk is refused"`
	MinMemory int64              `json:"min_memory,omitempty" doc:"bytes; a machine with less is refused"`
	Seed      Seed               `json:"seed,omitzero" doc:"what each of its installations is given at its first boot; everybody who may look sees it, so it has no passwords"`
	TagSeeds  map[string]Seed    `json:"tag_seeds,omitempty" doc:"what the machines with a tag are given beside that, by tag"`
	Notes     string             `json:"notes,omitempty" doc:"what an operator should know"`
	Disabled  bool               `json:"disabled,omitempty" doc:"it is listed and cannot be deployed"`
	Builtin   bool               `json:"builtin,omitempty" doc:"it comes with this version, and is as it came"`
	Local     []string           `json:"local,omitempty" doc:"the architectures whose images are in the store of the server that answers; the others are fetched when they are deployed"`
	Revision  int64              `json:"revision,omitempty" doc:"of the record; 0 for one that nobody changed"`
}

// ofCluster reports whether the template is one of Tinkerbell's cluster.
func (o OS) ofCluster() bool { return strings.HasPrefix(o.Template, ClusterTemplate) }

// Fits reports whether the operating system is for an architecture, amd64 or arm64. One
// whose template has an image of its own is for whatever that is for.
func (o OS) Fits(arch string) bool {
	_, there := o.Images[arch]
	return there || len(o.Images) == 0
}

// OSImage is where the image for one architecture is, and what it is checked
// against. An operating system that starts an installer instead has a kernel and an
// initrd.
type OSImage struct {
	URL    string `json:"url,omitempty" doc:"of the disk image; left out where it is imported from a file, and sha256 says which one" example:"https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2"`
	Format string `json:"format,omitempty" doc:"raw or qcow2, and .gz, .xz, .zst or .bz2 where it is packed" example:"qcow2"`
	SHA256 string `json:"sha256,omitempty" doc:"of the file at url, in hexadecimal"`
	Sums   string `json:"sums,omitempty" doc:"URL of a file with checksums that lists it, such as SHA256SUMS"`

	Signature string `json:"signature,omitempty" doc:"URL of the OpenPGP signature of sums; left out where that is signed in itself"`
	Key       string `json:"key,omitempty" doc:"OpenPGP public keys, armored, of which one has signed sums"`

	Kernel       string `json:"kernel,omitempty" doc:"URL of an installer's kernel"`
	KernelSHA256 string `json:"kernel_sha256,omitempty" doc:"of that file, in hexadecimal"`
	Initrd       string `json:"initrd,omitempty" doc:"URL of the installer's initrd"`
	InitrdSHA256 string `json:"initrd_sha256,omitempty" doc:"of that file, in hexadecimal"`
	CommandLine  string `json:"command_line,omitempty" doc:"of that kernel"`
}

// FirstBoot is what configures an operating system when it starts for the first
// time, and so tells how it is known to have started.
type FirstBoot string

// The ways of a first boot.
const (
	FirstBootCloudInit FirstBoot = "cloud-init" // phones home
	FirstBootIgnition  FirstBoot = "ignition"   // is seen booting from its disk
	FirstBootTalos     FirstBoot = "talos"      // the same
	FirstBootNone      FirstBoot = "none"       // the same
)

// FirstBoots lists the ways of a first boot.
func FirstBoots() []FirstBoot {
	return []FirstBoot{FirstBootCloudInit, FirstBootIgnition, FirstBootTalos, FirstBootNone}
}

// PhonesHome reports whether the installed system says itself that it started.
// Others count as started when the machine is seen booting from its disk.
func (f FirstBoot) PhonesHome() bool { return f == FirstBootCloudInit }
