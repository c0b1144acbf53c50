package images

import (
	"strings"
	"testing"
)

func TestDepmod(t *testing.T) {
	modules := []module{
		{Name: "dca", Path: "kernel/drivers/dca/dca.ko"},
		{Name: "i2c_algo_bit", Path: "kernel/drivers/i2c/i2c-algo-bit.ko", Depends: []string{"i2c_core"}},
		{Name: "igb", Path: "kernel/drivers/net/igb.ko", Depends: []string{"dca", "i2c_algo_bit"},
			Aliases: []string{"pci:v00008086d00001521sv*", "pci:v00008086d00001522sv*"}},
		{Name: "r8169", Path: "kernel/drivers/net/r8169.ko", Softdeps: []string{"pre: realtek", "post: late-one"}},
	}
	got, err := depmod(modules)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"modules.dep": `kernel/drivers/dca/dca.ko:
kernel/drivers/i2c/i2c-algo-bit.ko:
kernel/drivers/net/igb.ko: kernel/drivers/i2c/i2c-algo-bit.ko kernel/drivers/dca/dca.ko
kernel/drivers/net/r8169.ko:
`,
		"modules.alias": `# Aliases extracted from modules themselves.
alias pci:v00008086d00001521sv* igb
alias pci:v00008086d00001522sv* igb
`,
		"modules.softdep": `# Soft dependencies extracted from modules themselves.
softdep r8169 pre: realtek
softdep r8169 post: late-one
`,
	}
	for name, text := range want {
		if string(got[name]) != text {
			t.Errorf("%s:\n%s\nwant\n%s", name, got[name], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}

func TestDepmodRefusesCircle(t *testing.T) {
	_, err := depmod([]module{{Name: "a", Depends: []string{"a"}}})
	if err == nil || !strings.Contains(err.Error(), "a -> a") {
		t.Errorf("got %v", err)
	}
}
