package tftp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// autoexec is the script that iPXE asks for by itself.
const autoexec = "autoexec.ipxe"

var errName = errors.New("not served here: only the network boot programs are, by their plain names")

// plain is the program that a client means by name. One "/" in front is forgiven,
// as some firmware puts it before any name; whatever else is in a name has to be
// on the list as it stands, so paths need no cleaning that could be got wrong.
func (s *Server) plain(name string) (string, error) {
	name = strings.TrimPrefix(name, "/")
	if name == autoexec && s.Autoexec != nil {
		return name, nil
	}
	if !slices.Contains(s.Programs, name) {
		return "", errName
	}
	return name, nil
}

// open returns the content of a name and its size in bytes.
func (t *transfers) open(name string, local netip.Addr) (io.ReadCloser, int64, error) {
	name, err := t.plain(name)
	if err != nil {
		return nil, 0, err
	}
	if name == autoexec {
		script := t.Autoexec(local)
		if len(script) == 0 { // an empty script would end iPXE; none at all lets it go on as usual
			return nil, 0, errName
		}
		return io.NopCloser(bytes.NewReader(script)), int64(len(script)), nil
	}
	// Opened anew each time: building an image puts a new folder in its place.
	file, err := os.OpenInRoot(t.Dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		t.Log.Warn("boot program is missing; run: dragonfly image build", "name", name, "folder", t.Dir)
		return nil, 0, fmt.Errorf("%s is not among the installed boot programs", name)
	}
	if err != nil {
		t.Log.Error("boot program cannot be opened", "name", name, "err", err)
		return nil, 0, fmt.Errorf("%s cannot be read", name)
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, errors.Join(fmt.Errorf("%s is not a file", name), file.Close())
	}
	return file, info.Size(), nil
}
