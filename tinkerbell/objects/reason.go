package objects

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Why something failed, for people. Tinkerbell says little: the message of an action
// that failed is "action completed", and the reason is put together from everything
// else that is known.

// failure is why action i is the one that failed; empty where none did.
func (s Sight) failure(st status, i int) string {
	a, planned := st.Actions[i], s.Deployment.Actions[i]
	switch {
	case a.State == stateTimeout:
		return s.and(fmt.Sprintf("it did not end within its timeout of %s", planned.Timeout))
	case a.State == stateFailed:
		return s.and(s.ran(i, a) + failedHow(a))
	case st.State == stateTimeout:
		return s.and(fmt.Sprintf("all actions together took longer than the global_timeout of %s%s", time.Duration(st.GlobalTimeout)*time.Second, s.when(i, a)))
	case st.State == stateFailed:
		return s.and(st.problem("Tinkerbell says that the Workflow failed, and not why") + s.when(i, a))
	}
	return ""
}

func failedHow(a actionStatus) string {
	if message := told(a.Message); message != "" {
		return message
	}
	return "its container ended with an error, and Tinkerbell does not keep which: what it wrote is in the log on the machine, and in Tinkerbell's syslog"
}

// ran is how long an action ran, as its agent says, or else by our own clock.
func (s Sight) ran(i int, a actionStatus) string {
	took, err := time.ParseDuration(a.Duration)
	if err != nil && s.began(i) {
		took = s.Now.Sub(s.Deployment.Actions[i].StartedAt)
	}
	if took <= 0 {
		return ""
	}
	return fmt.Sprintf("after %s: ", took.Round(100*time.Millisecond))
}

// when says where the whole stood when it ended.
func (s Sight) when(i int, a actionStatus) string {
	switch {
	case a.State != stateRunning:
		return "; this action had not begun"
	case s.began(i):
		return fmt.Sprintf("; this action had run for %s", s.Now.Sub(s.Deployment.Actions[i].StartedAt).Round(time.Second))
	}
	return "; this action was running"
}

// and adds the last that our own timeline has of the machine.
func (s Sight) and(reason string) string {
	if s.Timeline == "" {
		return reason
	}
	return reason + "; " + s.Timeline
}

// troubles are the conditions that say what went wrong. Tinkerbell sets some of them to
// False where it means True (v0.25.0, tink/controller/internal/workflow/pre.go).
var troubles = []struct {
	kind     string
	statuses []string
	says     string
}{
	{"TemplateRenderedSuccess", []string{"False"}, "Tinkerbell could not render the Template"},
	{"BootJobSetupFailed", []string{"True", "False"}, "Tinkerbell could not have the BMC start the machine"},
	{"BootJobSetupComplete", []string{"False"}, "Tinkerbell could not have the BMC start the machine"},
	{"BootJobFailed", []string{"True"}, "the BMC did not start the machine"},
	{"AllowNetbootTrue", []string{"False"}, "Tinkerbell could not let the machine boot from the network"},
	{"AllowNetbootFalse", []string{"False"}, "Tinkerbell could not keep the machine from booting from the network again"},
}

// problem is what the conditions say went wrong, or else what otherwise says.
func (s status) problem(otherwise string) string {
	for _, trouble := range troubles {
		if message, there := s.condition(trouble.kind, trouble.statuses...); there {
			return strings.TrimSuffix(trouble.says+": "+brief(message), ": ")
		}
	}
	return otherwise
}

// told is what the message of an action says; empty where it is what Tinkerbell's agent
// says of all of them.
func told(message string) string {
	if message == "running action" || message == "action completed" {
		return ""
	}
	return brief(message)
}

// maxBrief is how much of a message is shown, in bytes.
const maxBrief = 300

// brief is one line of a message of Tinkerbell's. An error of its renderer ends in the
// whole template, or in all that is known of the hardware, which may hold secrets: that
// is left out.
func brief(message string) string {
	for _, secret := range []string{", content:", " (map["} {
		message, _, _ = strings.Cut(message, secret)
	}
	message = strings.Join(strings.Fields(message), " ")
	if len(message) <= maxBrief {
		return message
	}
	cut := maxBrief
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "..."
}
