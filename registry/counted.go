package registry

import "strconv"

// Counted is a number of things for people: "1 disk", "2 disks".
func Counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
