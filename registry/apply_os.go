package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// OSStep is what becomes of an operating system of the catalogue.
type OSStep struct {
	SettingStep
	os OS // as it is to be
}

// Kept is what is kept of the catalogue beside an appliance: what operators have added
// to it or changed. What comes with a version is Builtin, and all that is said of it is
// that it is disabled.
func Kept(catalogue []OS) (kept []OS) {
	for _, o := range catalogue {
		if o.Revision > 0 && (!o.Builtin || o.Disabled) {
			kept = append(kept, o.said())
		}
	}
	return kept
}

// said is o without what is no operator's to say.
func (o OS) said() OS {
	o.Local, o.Revision = nil, 0
	return o
}

// planOSes says what becomes of operating systems.
func (r *Registry) planOSes(ctx context.Context, wanted []OS) ([]OSStep, error) {
	all, err := r.OSes(ctx)
	if err != nil {
		return nil, err
	}
	stored := map[string]OS{}
	for _, o := range all {
		stored[o.ID] = o
	}
	steps := make([]OSStep, len(wanted))
	for i, o := range wanted {
		before, there := stored[o.ID]
		steps[i] = r.planOS(o.said(), before)
		if !there && steps[i].Err == nil {
			steps[i].Action = ImportCreate
		}
	}
	return steps, nil
}

// planOS says what becomes of one that is before in the catalogue, or the zero OS.
func (r *Registry) planOS(o, before OS) OSStep {
	refused := func(err error) OSStep { return OSStep{SettingStep: SettingStep{Action: ImportRefuse, Err: err}, os: o} }
	if o.Builtin {
		if !before.Builtin {
			return refused(&ListError{fmt.Sprintf("%s is to be as it comes with a version, and is not: it does not come with this one, or was changed here", o.ID)})
		}
		disabled := o.Disabled
		o = before.said()
		o.Disabled = disabled
	} else if err := r.checkOS(o); err != nil {
		return refused(err)
	}
	return OSStep{settingStep(before.Revision, changesOfOS(before.said(), o)), o}
}

// changesOfOS is what becomes of each member, as JSON has it.
func changesOfOS(before, after OS) (changes []FieldChange) {
	was, is := membersOf(before), membersOf(after)
	for field := range reflect.TypeFor[OS]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if was[name] != is[name] && name != "id" {
			changes = append(changes, FieldChange{name, was[name], is[name]})
		}
	}
	return changes
}

// membersOf is the members of an operating system as JSON; texts without quotes.
func membersOf(o OS) map[string]string {
	text, _ := json.Marshal(o) // texts, numbers and addresses: cannot fail
	var raw map[string]any
	_ = json.Unmarshal(text, &raw)
	members := map[string]string{}
	for name, value := range raw {
		if word, ok := value.(string); ok {
			members[name] = word
			continue
		}
		text, _ := json.Marshal(value)
		members[name] = string(text)
	}
	return members
}

func (r *Registry) applyOSes(ctx context.Context, steps []OSStep) {
	for i := range steps {
		step := &steps[i]
		if step.Action != ImportEdit && step.Action != ImportCreate {
			continue
		}
		ctx, version := OncePart(ctx, "os/"+step.os.ID), storedVersion(step.version)
		var err error
		if step.os.Builtin {
			_, err = r.EnableOS(ctx, step.os.ID, version, !step.os.Disabled)
		} else {
			_, err = r.PutOS(ctx, version, step.os)
		}
		if err != nil {
			step.refuse(err)
		}
	}
}
