package objects

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Edited lists what is otherwise in the cluster than it was built, by its path, such as
// spec.hardwareMap.disk: somebody changed it. What others added does not count, such as
// allowPXE.
func Edited(built, live *unstructured.Unstructured) []string {
	return differences("spec", built.Object["spec"], live.Object["spec"])
}

func differences(path string, want, have any) (all []string) {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok && len(want) > 0 {
			return []string{path}
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			all = append(all, differences(path+"."+key, want[key], have[key])...)
		}
	case []any:
		have, ok := have.([]any)
		if !ok || len(have) != len(want) {
			return []string{path}
		}
		for i := range want {
			all = append(all, differences(fmt.Sprintf("%s[%d]", path, i), want[i], have[i])...)
		}
	default:
		if fmt.Sprint(want) != fmt.Sprint(have) {
			all = append(all, path)
		}
	}
	return all
}
