package action

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
)

// Action is one step of a template, run natively.
type Action interface {
	Run(ctx context.Context, env *Env) error
}

// Func is a function as an action.
type Func func(ctx context.Context, env *Env) error

// Run calls f.
func (f Func) Run(ctx context.Context, env *Env) error { return f(ctx, env) }

// actions are what this agent can do, by name.
func actions() map[string]Action {
	return map[string]Action{
		"archive2disk": Func(archive2disk),
		"cexec":        Func(cexec),
		"cidataio":     Func(cidataio),
		"disk-wipe":    Func(diskWipe),
		"growpart":     Func(growpart),
		"grub2disk":    Func(grub2disk),
		"image2disk":   Func(image2disk),
		"installer":    Func(installer),
		"kexec":        Func(kexec),
		"oci2disk":     Func(oci2disk),
		"poweroff":     Func(poweroff),
		"qemuimg2disk": Func(qemuimg2disk),
		"reboot":       Func(reboot),
		"rootio":       Func(rootio),
		"rescue":       Func(rescue),
		"wipe":         Func(wipe),
		"writefile":    Func(writefile),
	}
}

// Names lists what this agent can do, in alphabetical order.
func Names() []string { return slices.Sorted(maps.Keys(actions())) }

// Lookup finds an action by the reference of its image: the last element of it
// counts, without tag and digest, as in package tinkerbell.
func Lookup(image string) (Action, bool) {
	a, ok := actions()[Name(image)]
	return a, ok
}

// Name is the name of the action that an image's reference names; empty for what
// is no reference.
func Name(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	return path.Base(reference.Path(named))
}

// Check says which of the images name an action that this agent does not know:
// to be asked about a whole template, before its first action runs.
func Check(images ...string) error {
	var errs []error
	for _, image := range images {
		if _, ok := Lookup(image); !ok {
			errs = append(errs, fmt.Errorf("the agent has no action for the image %q; it has %s", image, strings.Join(Names(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// Env is what an action is given. Only Vars has to be there.
type Env struct {
	// Vars are the variables of the action's environment. An empty one is as
	// good as none.
	Vars map[string]string
	// Command is what the action is to do, for one that can do several things.
	Command []string
	// Tools are programs that are fetched when one is needed; nil: there are none.
	Tools *Toolbox
	// Log takes a line for the operator.
	Log func(line string)
	// Progress is told how far the action has come, several times a second. It
	// must not block.
	Progress func(Progress)
	// Writing is asked before the first change of a device, such as
	// /dev/disk/by-id/...; with an error nothing is changed. It may be asked more
	// than once for one device.
	Writing func(device string) error
	// HTTP fetches; without one, http.DefaultClient does.
	HTTP *http.Client
	// Need loads kernel modules, by name or alias; none does nothing.
	Need func(modules ...string)
	// Root is the directory with dev, proc, run and sys; empty is that of the
	// machine itself.
	Root string
}

// Progress is how far an action has come.
type Progress struct {
	Stage   string // what is being done, such as "write"; one word or two
	Done    int64  // of Total
	Total   int64  // bytes of the image, or of the file where only that is known; 0: neither is
	Fetched int64  // bytes that came over the network
	Written int64  // bytes that were written to the disk
	Skipped int64  // bytes of holes, which the disk was told to forget
}

// logf writes a line for the operator.
func (e *Env) logf(format string, args ...any) {
	if e.Log != nil {
		e.Log(fmt.Sprintf(format, args...))
	}
}

// report passes on how far the action has come.
func (e *Env) report(p Progress) {
	if e.Progress != nil {
		e.Progress(p)
	}
}

// need loads kernel modules.
func (e *Env) need(modules ...string) {
	if e.Need != nil && len(modules) > 0 {
		e.Need(modules...)
	}
}

// writing asks whether a device may be changed now.
func (e *Env) writing(device string) error {
	if e.Writing == nil {
		return nil
	}
	if err := e.Writing(device); err != nil {
		return fmt.Errorf("%s is not written to: %w", device, err)
	}
	return nil
}

// http is the client to fetch with. It has no limit for a whole exchange: who
// fetches a large file watches over it as it comes.
func (e *Env) http() *http.Client {
	if e.HTTP == nil {
		return http.DefaultClient
	}
	client := *e.HTTP
	client.Timeout = 0
	return &client
}

// path is where a path of the machine is, such as /dev/sda.
func (e *Env) path(name string) string {
	if e.Root == "" {
		return name
	}
	return path.Join(e.Root, name)
}

// must is a variable that has to be set.
func (e *Env) must(name string) (string, error) {
	if e.Vars[name] == "" {
		return "", fmt.Errorf("%s is not set in the action's environment", name)
	}
	return e.Vars[name], nil
}

// text is a variable, or what stands for it where it is not set.
func (e *Env) text(name, preset string) string {
	if e.Vars[name] == "" {
		return preset
	}
	return e.Vars[name]
}

// flag is a boolean variable, such as "true" or "0".
func (e *Env) flag(name string, preset bool) (bool, error) {
	if e.Vars[name] == "" {
		return preset, nil
	}
	b, err := strconv.ParseBool(e.Vars[name])
	if err != nil {
		return false, fmt.Errorf("%s is %q; want true or false", name, e.Vars[name])
	}
	return b, nil
}

// number is a whole number that is not negative.
func (e *Env) number(name string, preset int) (int, error) {
	if e.Vars[name] == "" {
		return preset, nil
	}
	n, err := strconv.ParseUint(e.Vars[name], 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s is %q; want a whole number", name, e.Vars[name])
	}
	return int(n), nil
}
