// Command run carries out one action, with the variables of its environment, as the
// agent would, and prints what it took: seconds, and the most memory in bytes. As
// "run pack" it packs an image, and tells its name where errors go.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"dragonfly/images/agent/action"
	"dragonfly/images/frame"
)

func main() {
	if os.Args[1] == "pack" {
		index, err := frame.Pack(os.Stdout, os.Stdin, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(os.Stderr, index.Name)
		return
	}
	todo, ok := action.Lookup(os.Args[1])
	if !ok {
		log.Fatal("no such action: ", os.Args[1])
	}
	vars := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		vars[name] = value
	}
	began := time.Now()
	if err := todo.Run(context.Background(), &action.Env{Vars: vars, Log: func(line string) { log.Print(line) }}); err != nil {
		log.Fatal(err)
	}
	took := time.Since(began)
	fmt.Println(took.Seconds(), mostMemory())
}

// mostMemory is the most memory that this process had resident, in bytes. It is not
// that of getrusage, which has the process that started this one in it.
func mostMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		log.Fatal(err)
	}
	kilobytes, rest := int64(0), ""
	_, rest, _ = strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		log.Fatal(err)
	}
	return kilobytes * 1024
}
