package images

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Budget is how large kernel and initramfs may be together, in bytes: what a
// machine has to fetch before it can register.
const Budget = 32 << 20

// Report tells what a build put where and how large it is.
type Report struct {
	Release string // kernel release; "" where no kernel was built
	Rows    []Row
	Absent  []string // wanted drivers and firmware that the packages do not have
	Total   int64    // vmlinuz and initramfs.zst, in bytes
	Budget  int64    // what Total may be, in bytes; 0 where there is none
}

// Row is one line of the table: how many files serve a purpose and their size
// in bytes.
type Row struct {
	What  string
	Files int
	Bytes int64
}

// OverBudget reports whether kernel and initramfs are larger than allowed.
func (r Report) OverBudget() bool { return r.Budget > 0 && r.Total > r.Budget }

// report tells what is inside an image and how large it is.
func (img *image) report() Report {
	r := Report{Release: img.Release, Budget: Budget}
	r.add("kernel", 1, len(img.Kernel))
	r.add("agent", 1, len(img.Agent))
	if len(img.Roots) > 0 {
		r.add("root certificates", 1, len(img.Roots))
	}
	r.addModules(img.Groups, img.Modules)
	r.addFirmware(img.Firmware)
	if len(img.Packed) > 0 {
		r.add("of these, packed until one is needed", 1, len(img.Packed))
	}
	r.add("initramfs, unpacked", 1, len(img.Archive))
	r.add("initramfs.zst", 1, len(img.Initramfs))
	if img.Tools.SHA256 != "" {
		r.add("tools, fetched when one is needed", img.Tools.Files, len(img.Tools.Archive))
	}
	r.Total = int64(len(img.Kernel) + len(img.Initramfs))
	r.Absent = img.absent()
	return r
}

func (r *Report) add(what string, files, bytes int) {
	r.Rows = append(r.Rows, Row{What: what, Files: files, Bytes: int64(bytes)})
}

func (r *Report) addModules(groups []group, modules []module) {
	const others = "modules the others need"
	purpose := map[string]string{}
	for _, g := range groups {
		for _, name := range g.Modules {
			purpose[name] = g.Name
		}
	}
	rows := map[string]Row{}
	for _, m := range modules {
		name := cmp.Or(purpose[m.Name], others)
		rows[name] = Row{What: name, Files: rows[name].Files + 1, Bytes: rows[name].Bytes + int64(len(m.Body))}
	}
	for _, g := range append(groups, group{Name: others}) {
		if row, used := rows[g.Name]; used {
			r.Rows = append(r.Rows, row)
		}
	}
}

func (r *Report) addFirmware(files []firmwareFile) {
	bytes := 0
	for _, f := range files {
		bytes += len(f.Body)
	}
	r.add("firmware", len(files), bytes)
}

// WriteTo prints the report as a table with a heading, sizes to the right.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "FILES\tBYTES\t  WHAT")
	for _, row := range r.Rows {
		fmt.Fprintf(table, "%d\t%s\t  %s\n", row.Files, grouped(row.Bytes), row.What)
	}
	if r.Budget > 0 {
		fmt.Fprintf(table, "\t%s\t  vmlinuz + initramfs.zst\n", grouped(r.Total))
		fmt.Fprintf(table, "\t%s\t  budget, %s\n", grouped(r.Budget), r.verdict())
	}
	if err := table.Flush(); err != nil {
		return 0, err
	}
	if len(r.Absent) > 0 {
		fmt.Fprintf(&text, "not in the packages: %s\n", strings.Join(r.Absent, " "))
	}
	n, err := io.WriteString(w, text.String())
	return int64(n), err
}

func (r Report) verdict() string {
	if r.OverBudget() {
		return grouped(r.Total-r.Budget) + " over"
	}
	return grouped(r.Budget-r.Total) + " left"
}

// grouped writes a number with a comma before every three digits.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
