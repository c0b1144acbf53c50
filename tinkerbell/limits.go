package tinkerbell

import "time"

// The limits. Only the size of the rendered text and of a name are Tinkerbell's
// own; the others keep a text that was made to harm from doing so, far above what
// a template needs.
const (
	MaxText     = 1 << 20   // bytes of a template; Kubernetes refuses objects a little above
	MaxRendered = 256 << 10 // bytes of a rendered template (template_funcs.go: maxRenderBytes)
	MaxName     = 199       // bytes of a name (template_validator.go: hasValidLength)
	MaxTasks    = 100
	MaxActions  = 1000 // of all tasks

	maxProblems = 50      // told at once
	maxMembers  = 100_000 // of mappings and lists that are read, with those of aliases each time
	maxValue    = 1 << 20 // bytes of a value while rendering, see weigh
	maxDepth    = 100     // of lists and dictionaries in each other
	maxGuesses  = 20      // names whose value is tried out
	maxSteps    = 200_000 // rounds of range, and templates called
	maxCost     = 20_000_000
	maxTime     = 5 * time.Second // for rendering
)
