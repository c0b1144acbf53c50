package tinkerbell

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is what the value of a variable has to look like.
type Kind string

// The kinds of values.
const (
	Text   Kind = "text"
	Device Kind = "device" // a path below /dev
	Path   Kind = "path"   // an absolute path
	Number Kind = "number" // a whole number, not negative
	Octal  Kind = "octal"  // the mode of a file, such as 0644
	Bool   Kind = "bool"   // true or false, as strconv.ParseBool reads it
)

// Variable is one variable of an action's environment.
type Variable struct {
	Name     string `json:"name"`
	Kind     Kind   `json:"kind"`
	Required bool   `json:"required,omitempty"`
	Default  string `json:"default,omitempty"` // what an action takes where it is not set
	About    string `json:"about"`
}

// KnownAction is an action whose environment is known.
type KnownAction struct {
	Name      string     `json:"name"` // the last element of its image's reference
	About     string     `json:"about"`
	Variables []Variable `json:"variables,omitempty"`
	Commands  []string   `json:"commands,omitempty"` // it wants one of these as its command
	OneOf     []string   `json:"one_of,omitempty"`   // variables of which one has to be set
	Any       bool       `json:"any,omitempty"`      // it hands on every variable
	HostPID   bool       `json:"host_pid,omitempty"` // it acts on the machine itself: without the host's process ids it does nothing
}

// must and may are a variable that is required, and one that is not.
func must(name string, kind Kind, about string) Variable {
	return Variable{Name: name, Kind: kind, Required: true, About: about}
}

func may(name string, kind Kind, preset, about string) Variable {
	return Variable{Name: name, Kind: kind, Default: preset, About: about}
}

// KnownActions are those of github.com/tinkerbell/actions, as their programs read
// their environment (NAME/main.go, qemuimg2disk/entrypoint.sh), those of its
// first years, waitdaemon, which the templates of the playground end with, and those
// that only Dragonfly's agent has.
func KnownActions() []KnownAction {
	var (
		disk      = must("DEST_DISK", Device, "the disk that is written, all of it")
		partition = must("DEST_DISK", Device, "the partition that is mounted")
		block     = must("BLOCK_DEVICE", Device, "the partition that is mounted")
		fsType    = must("FS_TYPE", Text, "the file system of the partition, such as ext4")
		image     = must("IMG_URL", Text, "where the image is fetched from")
		packed    = may("COMPRESSED", Bool, "false", "unpack the image while it is written")
		sum       = may("IMG_SHA256", Text, "", "of the file at IMG_URL; Dragonfly's agent alone checks it")
	)
	return []KnownAction{
		{Name: "archive2disk", About: "unpack an archive into a file system", Variables: []Variable{
			partition, fsType, may("DEST_PATH", Text, "/", "the directory it is unpacked into"),
			must("ARCHIVE_URL", Text, "where the archive is fetched from"),
			may("ARCHIVE_TYPE", Text, "tar", "tar or targz"), may("TARFILE_CHECKSUM", Text, "", "such as sha256:...; early versions require it"),
			may("INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION", Bool, "false", "of early versions: no checksum is required"),
			may("HTTP_CLIENT_TIMEOUT_MINUTES", Number, "5", "for the download")}},
		{Name: "cexec", About: "run a command in a file system on the disk", Variables: []Variable{
			block, fsType, must("CMD_LINE", Text, "the command; without an interpreter, commands with ; between them"),
			may("CHROOT", Text, "", "anything: change the root to the file system"),
			may("DEFAULT_INTERPRETER", Text, "", "such as /bin/sh -c"),
			may("UPDATE_RESOLV_CONF", Bool, "false", "the command finds the name servers of the installation environment"),
			may("JSON_OUTOUT", Bool, "true", "log as JSON")}},
		{Name: "cidataio", About: "add a partition with the seed of cloud-init", Variables: []Variable{
			must("DEST_DISK", Device, "the disk that gets the partition"),
			may("USER_DATA", Text, "", "the file user-data"), may("META_DATA", Text, "", "the file meta-data"),
			may("NETWORK_CONFIG", Text, "", "the file network-config")}},
		{Name: "disk-wipe", About: "wipe every disk of the machine; Dragonfly's agent wipes the one of the deployment alone"},
		{Name: "grub2disk", About: "install GRUB for BIOS", Variables: []Variable{
			must("GRUB_INSTALL_PATH", Device, "the disk that gets the boot record"), must("GRUB_DISK", Device, "the partition with /boot"),
			may("FS_TYPE", Text, "", "the file system of the partition")}},
		{Name: "growpart", About: "give the last partition of a disk, and its file system, the room behind it; Dragonfly's agent alone has it", Variables: []Variable{
			must("DEST_DISK", Device, "the disk")}},
		{Name: "image2disk", About: "write an image to a disk while it is fetched", Variables: []Variable{
			disk, image, packed, sum, may("RETRY_ENABLED", Bool, "true", "try again when the transfer breaks"),
			may("RETRY_DURATION_MINUTES", Number, "10", "how long to try again"),
			may("PROGRESS_INTERVAL_SECONDS", Number, "3", "between two lines on the progress"),
			may("TEXT_LOGGING", Bool, "false", "log as text instead of JSON")}},
		{Name: "installer", About: "start the installer of an operating system, which tells the server itself how it ends; Dragonfly's agent alone has it, for deployments without Tinkerbell", Variables: []Variable{
			must("DEST_DISK", Device, "the disk that the installer may write to"),
			must("KERNEL_URL", Text, "where the installer's kernel is fetched from"), must("KERNEL_SHA256", Text, "of that file"),
			must("INITRD_URL", Text, "where its initrd is fetched from"), must("INITRD_SHA256", Text, "of that file"),
			may("CMD_LINE", Text, "", "of the kernel, beside the consoles of the agent"),
			may("FILES", Text, "", "what is put into the initrd: in each line a path, and the variable that has the text")}, Any: true},
		{Name: "kexec", About: "start the kernel on the disk without a restart", HostPID: true, Variables: []Variable{
			block, fsType, may("KERNEL_PATH", Text, "", "else what the disk's grub.cfg starts"),
			may("INITRD_PATH", Text, "", "with KERNEL_PATH"), may("CMD_LINE", Text, "", "of the kernel; else that of grub.cfg")}},
		{Name: "oci2disk", About: "write an image to a disk while it is fetched from a container registry", Variables: []Variable{
			disk, must("IMG_URL", Text, "the reference of the artifact"), packed,
			may("REGISTRY_USERNAME", Text, "", "of the registry"), may("REGISTRY_PASSWORD", Text, "", "of the registry"),
			may("SKIP_VERIFY", Bool, "false", "take any certificate")}},
		{Name: "poweroff", About: "switch the machine off", HostPID: true},
		{Name: "qemuimg2disk", About: "write an image of any format qemu-img knows to a disk; Dragonfly's agent knows qcow2 and raw", Variables: []Variable{
			disk, image, sum, may("FORMAT", Text, "host_device", "the format that is written"), may("EXTRA_ARGS", Text, "", "for qemu-img convert")}},
		{Name: "reboot", About: "restart the machine", HostPID: true},
		{Name: "rescue", About: "let an operator in by SSH, until the machine restarts; Dragonfly's agent alone has it", Variables: []Variable{
			must("SSH_KEYS", Text, "public keys that may sign in as root, a line each")}},
		{Name: "rootio", About: "partition, format, mount or wipe as a layout says; Dragonfly's agent writes to the disk of the deployment alone",
			Commands: []string{"partition", "format", "mount", "wipe"}, OneOf: []string{"MIRROR_HOST", "STORAGE"}, Variables: []Variable{
				may("MIRROR_HOST", Text, "", "the host that serves the metadata"), may("METADATA_SERVICE_PORT", Number, "50061", "its port"),
				may("STORAGE", Text, "", "the layout in JSON: what metadata have as storage; Dragonfly's agent alone reads it"),
				may("MBR", Text, "", "anything: an MBR instead of a GPT")}},
		{Name: "slurp", About: "send the contents of a disk to a server", Variables: []Variable{
			must("SOURCE_DISK", Device, "the disk that is read"), must("DEST_URL", Text, "where it is sent"),
			must("IMG_NAME", Text, "what the image is called there"), packed}},
		{Name: "syslinux", About: "install SYSLINUX for BIOS", Variables: []Variable{
			must("DEST_DISK", Device, "the disk that gets the boot record"), must("DEST_PARTITION", Device, "the partition it boots"),
			must("SYSLINUX_VERSION", Text, "386 or 3.86")}},
		{Name: "ubootenv", About: "change the environment of U-Boot in a file system", Variables: []Variable{
			partition, may("FS_TYPE", Text, "vfat", "the file system of the partition"),
			may("ENV_FILE", Path, "/boot/uboot.env", "the file with the environment"),
			must("ENV_VARS", Text, "a JSON object; an empty value takes a variable away")}},
		{Name: "waitdaemon", About: "report success, wait, and run another image", Any: true, HostPID: true, Variables: []Variable{
			must("IMAGE", Text, "the image that is run"), may("WAIT_SECONDS", Number, "10", "how long to wait")}},
		{Name: "wipe", About: "erase a disk; Dragonfly's agent alone has it", Variables: []Variable{
			must("DEST_DISK", Device, "the disk that is erased"),
			may("WIPE_METHOD", Text, "auto", "auto, format or sanitize (NVMe), secure-discard, discard, zero, overwrite or signatures")}},
		{Name: "writefile", About: "write a file into a file system on the disk", Variables: []Variable{
			partition, fsType, must("DEST_PATH", Path, "the file"), may("CONTENTS", Text, "", "what is in it"),
			must("UID", Number, "its owner"), must("GID", Number, "its group"), must("MODE", Octal, "its mode, such as 0644"),
			must("DIRMODE", Octal, "the mode of the directories that are made for it, such as 0755")}},
	}
}

// Known is the action that an image's reference names, by its last element.
func Known(image string) (KnownAction, bool) {
	name := actionOf(image)
	for _, known := range KnownActions() {
		if known.Name == name {
			return known, true
		}
	}
	return KnownAction{}, false
}

// Check says what is wrong with an environment, in the order of [KnownAction.Variables].
func (k KnownAction) Check(environment map[string]string) (wrong []string) {
	var missing []string
	for _, v := range k.Variables {
		switch value := environment[v.Name]; {
		case value == "" && v.Required:
			missing = append(missing, v.Name)
		case value != "" && !v.Kind.allows(value):
			wrong = append(wrong, fmt.Sprintf("%s is %s; want %s", v.Name, short(value), v.Kind.want()))
		}
	}
	if len(k.OneOf) > 0 && !slices.ContainsFunc(k.OneOf, func(name string) bool { return environment[name] != "" }) {
		wrong = append(wrong, fmt.Sprintf("%s needs %s in its environment%s", k.Name, strings.Join(k.OneOf, " or "), k.abouts(k.OneOf)))
	}
	if len(missing) > 0 {
		wrong = slices.Insert(wrong, 0, fmt.Sprintf("%s needs %s in its environment%s", k.Name, listed(missing), k.abouts(missing)))
	}
	return wrong
}

// CheckCommand says what is wrong with an action's command; "" is nothing.
func (k KnownAction) CheckCommand(command []string) string {
	if k.Commands == nil || len(command) == 1 && slices.Contains(k.Commands, command[0]) {
		return ""
	}
	return fmt.Sprintf("%s has the command %q; want one of %s", k.Name, command, strings.Join(k.Commands, ", "))
}

// abouts explains variables: " (DEST_DISK: the disk that is written, ...)".
func (k KnownAction) abouts(names []string) string {
	var parts []string
	for _, v := range k.Variables {
		if slices.Contains(names, v.Name) {
			parts = append(parts, v.Name+": "+v.About)
		}
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// listed is "A", "A and B" or "A, B and C".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// names lists the variables.
func (k KnownAction) names() (all []string) {
	for _, v := range k.Variables {
		all = append(all, v.Name)
	}
	return all
}

// allows reports whether a value is of the kind. The programs take a boolean
// that they cannot read for false, without a word.
func (k Kind) allows(value string) (ok bool) {
	var err error
	switch k {
	case Device:
		return strings.HasPrefix(value, "/dev/")
	case Path:
		return strings.HasPrefix(value, "/")
	case Number:
		_, err = strconv.ParseUint(value, 10, 31)
	case Octal:
		_, err = strconv.ParseUint(value, 8, 32)
	case Bool:
		_, err = strconv.ParseBool(value)
	}
	return err == nil
}

func (k Kind) want() string {
	switch k {
	case Device:
		return "the path of a block device, such as /dev/disk/by-id/..."
	case Path:
		return "an absolute path"
	case Number:
		return "a whole number"
	case Octal:
		return "an octal mode such as 0644"
	case Bool:
		return "true or false"
	}
	return "a text"
}
