package images

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func names(modules []module) []string {
	var all []string
	for _, m := range modules {
		all = append(all, m.Name)
	}
	return all
}

func TestCloseOver(t *testing.T) {
	tree := mustOpen(t, fakeKernel(t, "kernel/lib/built-in.ko\n", map[string][]byte{
		"net/nic.ko.xz":   fakeModule("depends=mid,built_in", "softdep=pre: phy absent-alias"),
		"net/mid.ko.zst":  fakeModule("depends=low"),
		"lib/low.ko":      fakeModule("softdep=post: nic"), // a circle of wishes
		"phy/phy.ko":      fakeModule("softdep=pre: nic"),
		"other/unused.ko": fakeModule(),
	}))
	got, err := closeOver(tree, []string{"nic", "not_there", "built_in", "nic"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"low", "mid", "nic", "phy"}; !slices.Equal(names(got), want) {
		t.Errorf("chose %q, want %q", names(got), want)
	}
	if path := got[2].Path; path != "kernel/net/nic.ko" {
		t.Errorf("nic is at %q, want the uncompressed name", path)
	}
}

func TestCloseOverRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		modules map[string][]byte
		says    string
	}{
		"missing":    {map[string][]byte{"nic.ko": fakeModule("depends=gone")}, "nic needs gone, which the kernel package does not have"},
		"broken":     {map[string][]byte{"nic.ko": []byte("junk")}, "read module nic: "},
		"bad packer": {map[string][]byte{"nic.ko": fakeModule("depends=low"), "low.ko": nil}, "read module low: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := closeOver(mustOpen(t, fakeKernel(t, "", test.modules)), []string{"nic"})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want an error with %q", err, test.says)
			}
		})
	}
}

func TestOpenModulesRefuses(t *testing.T) {
	_, err := openModules(fstest.MapFS{})
	if err == nil || !strings.Contains(err.Error(), "want one /lib/modules/RELEASE/kernel in the package, found 0") {
		t.Errorf("got %v", err)
	}
}

func TestRequirements(t *testing.T) {
	byName := map[string]module{
		"a": {Name: "a", Depends: []string{"b", "c"}},
		"b": {Name: "b", Depends: []string{"d"}},
		"c": {Name: "c", Depends: []string{"d", "built_in"}},
		"d": {Name: "d"},
		"x": {Name: "x", Depends: []string{"y"}},
		"y": {Name: "y", Depends: []string{"x"}},
	}
	got, err := requirements(byName["a"], byName)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"c", "b", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: backwards it must load", got, want)
	}
	_, err = requirements(byName["x"], byName)
	if err == nil || !strings.Contains(err.Error(), "x -> y -> x: a module may not need itself") {
		t.Errorf("a circle: got %v", err)
	}
}
