package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dragonfly/registry"
)

func networkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "network", Short: "Where network boots are answered, and which other DHCP servers there are", Args: cobra.NoArgs,
		Long: `Where this server answers network boots and what it answered, the ports that it and
others of this host have open, and the other DHCP servers of its networks. Those are
known by their answers, as far as they are broadcast, and by the clients that name the
server whose offer they take; nobody is asked: see dragonfly network probe.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := control(cmd).Network(cmd.Context())
			if err != nil {
				return fmt.Errorf("network: %w", err)
			}
			return printValue(cmd, n, func(w io.Writer) error { return printNetwork(w, n) })
		},
	}
	objectFlag(cmd)
	controlFlags(cmd)
	cmd.AddCommand(networkProbeCommand())
	return cmd
}

func networkProbeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "probe", Short: "Ask which DHCP servers there are", Args: cobra.NoArgs,
		Long: `Ask which DHCP servers there are: one DHCPDISCOVER is sent on each interface, as
firmware does that boots from the network, and answers are waited for for four seconds.
No address is taken, for no REQUEST follows; a server keeps the one that it offers back
for a minute or two.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := control(cmd).ProbeNetwork(cmd.Context())
			if err != nil {
				return fmt.Errorf("network probe: %w", err)
			}
			return printValue(cmd, n, func(w io.Writer) error { return printNeighbours(w, n.Interfaces) })
		},
	}
	objectFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func printNetwork(w io.Writer, n registry.Networks) error {
	for _, on := range n.Interfaces {
		fmt.Fprintf(w, "%s, %s: %s\n  DHCP: %s\n  TFTP: %s\n", on.Name, on.Card, strings.Join(on.Addresses, " "), counted(on.DHCP), counted(on.TFTP))
	}
	fmt.Fprintf(w, "HTTP boots: %s\n\n", counted(n.Boots))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PORT\tON\tFOR\tOPEN BY")
	for _, p := range n.Ports {
		by := slices.Clone(p.Others)
		if p.Ours {
			by = append([]string{"dragonfly"}, by...)
		}
		if len(by) == 0 {
			by = []string{"nobody"}
		}
		fmt.Fprintf(table, "%s %d\t%s\t%s\t%s\n", p.Protocol, p.Port, p.On, p.For, strings.Join(by, ", "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printNeighbours(w, n.Interfaces)
}

// counted are the counts that are not 0, by name.
func counted(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] > 0 {
			parts = append(parts, strconv.FormatUint(counts[name], 10)+" "+strings.ReplaceAll(name, "_", " "))
		}
	}
	if len(parts) == 0 {
		return "nothing yet"
	}
	return strings.Join(parts, ", ")
}

func printNeighbours(w io.Writer, all []registry.NetworkInterface) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DHCP SERVER\tON\tLAST HEARD\tDOES")
	for _, on := range all {
		for _, s := range on.Servers {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Address, on.Name, s.Last.Local().Format("2006-01-02 15:04:05"), neighbourWord(s))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, on := range all {
		for _, text := range append(on.Problems, on.Hints...) {
			fmt.Fprintln(w, "- "+text)
		}
	}
	return nil
}
