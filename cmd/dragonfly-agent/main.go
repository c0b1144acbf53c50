// Command dragonfly-agent is /init of the agent image: the first and only
// process of a machine that has no operating system yet. Package
// dragonfly/images/agent has the story.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"dragonfly/images/agent"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "dragonfly-agent is the init of the agent image; boot a machine with it (dragonfly image build)")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "dragonfly:", run())
	// The kernel panics when PID 1 ends, and stays there: restart instead, once
	// the message could be read.
	time.Sleep(30 * time.Second)
	_ = agent.Restart()
	select {}
}

func run() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a fault of the agent: %v\n%s", r, debug.Stack())
		}
	}()
	cfg, err := agent.Init()
	if err != nil {
		return err
	}
	return agent.Run(context.Background(), cfg)
}
