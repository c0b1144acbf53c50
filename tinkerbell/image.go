package tinkerbell

import (
	"path"
	"slices"

	"github.com/distribution/reference"
)

// parseImage reads the reference of an image as Tinkerbell and docker do: a bare
// name is one of docker.io/library.
func parseImage(image string) (reference.Named, error) {
	return reference.ParseNormalizedNamed(image)
}

// actionOf is the name of the action in an image's reference: its last element.
// Mirrors keep it: registry.local/tinkerbell/actions/cexec:v1 is cexec. It is
// empty where the reference cannot be read.
func actionOf(image string) string {
	named, err := parseImage(image)
	if err != nil {
		return ""
	}
	return path.Base(reference.Path(named))
}

// Writes reports whether the action of an image changes a disk. Of one that is not
// known nobody can tell, so it does.
func Writes(image string) bool {
	return !slices.Contains([]string{"kexec", "poweroff", "reboot", "slurp", "waitdaemon"}, actionOf(image))
}
