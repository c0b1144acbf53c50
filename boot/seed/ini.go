package seed

import (
	"fmt"
	"strings"
)

// ini writes the files of NetworkManager and systemd: sections of keys with values.
// Values are checked before they get here; none has a line end.
type ini struct{ strings.Builder }

func (f *ini) section(name string) {
	if f.Len() > 0 {
		f.WriteByte('\n')
	}
	fmt.Fprintf(f, "[%s]\n", name)
}

// set writes a key, unless its value is empty or 0.
func (f *ini) set(key string, value any) {
	if text := fmt.Sprint(value); text != "" && text != "0" {
		fmt.Fprintf(f, "%s=%s\n", key, text)
	}
}
