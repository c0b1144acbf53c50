// Dragonfly turns a Linux host into a bare-metal provisioning appliance.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(turnedRound(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	addCompletion(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "dragonfly: "+askedOf(cmd, err))
	}
	return exitCode(err)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "dragonfly",
		Short: "Turn racked metal into running machines",
		Long: `Dragonfly is a bare-metal provisioning appliance: machines that boot from the
network find it, boot its agent, register their hardware, and appear in its UI.

  dragonfly image build            fetch and build what machines boot (once)
  dragonfly serve --boot           run the appliance
  dragonfly status                 whether it is ready, and what should be mended
  dragonfly user create NAME       let an operator in from other hosts
  dragonfly deploy MACHINE         put an operating system on a machine
  dragonfly explain MAC            what a machine would be served now, and why
  dragonfly export -o fleet.yaml   machines and rules, to be kept in git
  dragonfly backup                 everything but images, to be restored elsewhere

` + exitCodes,
		SilenceErrors: true, SilenceUsage: true,
		Version: version(),
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(serveCommand(), imageCommand(), machineCommand(), osCommand(), deployCommand(), wipeCommand(), rescueCommand(), memtestCommand(), bootCommand(), deploymentCommand(), ruleCommand(), defaultsCommand(), exportCommand(), applyCommand(), backupCommand(), restoreCommand(), templateCommand(), eventsCommand(), auditCommand(), journalCommand(), statusCommand(), clusterCommand(), tinkerbellCommand(), userCommand(), tokenCommand(), explainCommand(), networkCommand(), contextCommand())
	completeNames(root)
	root.InitDefaultHelpCmd()
	strictArguments(root)
	strictHelp(root)
	return root
}

// version is the module's version where it was built from one, else the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "devel"
}
