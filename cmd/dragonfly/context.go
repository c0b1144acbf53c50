package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func contextCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "context", Aliases: []string{"contexts"}, Short: "Appliances elsewhere, by name: which one commands speak to",
		Long: `Appliances elsewhere, each with its URL, an API token and the certificates that
vouch for it, under a name of your choice. A command speaks to, in this order:

  --context NAME, or --server URL with the token in DRAGONFLY_TOKEN
  --data-dir DIR                       the control socket there
  DRAGONFLY_SERVER, with DRAGONFLY_TOKEN
  the context in use
  the control socket on this host, which is also the context "local"

They are kept in $XDG_CONFIG_HOME/dragonfly/config.yaml (~/.config), for your eyes only.`,
		Example: `  dragonfly token create laptop --owner ana --role operator   # on the appliance
  dragonfly context set lab --server http://lab.example:3000 --token-stdin
  dragonfly context use lab`}
	cmd.AddCommand(contextListCommand(), contextUseCommand(), contextSetCommand(), contextDeleteCommand())
	return cmd
}

// shownContext is a context as it is listed: without its token.
type shownContext struct {
	Name    string `json:"name"`
	Server  string `json:"server,omitempty"` // empty: the appliance on this host
	Current bool   `json:"current"`
	Token   bool   `json:"has_token"`
	CA      bool   `json:"has_ca"`
}

func (c contexts) shown() []shownContext {
	all := []shownContext{{Name: localContext, Current: c.Current == ""}}
	for _, s := range c.Servers {
		all = append(all, shownContext{s.Name, s.URL, s.Name == c.Current, s.Token != "", s.CA != ""})
	}
	return all
}

func contextListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the contexts; * is in use", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadContexts()
			if err != nil {
				return err
			}
			return printList(cmd, c.shown(), columns[shownContext]{
				heads: []string{"CURRENT", "NAME", "SERVER", "TOKEN", "CA"},
				cells: func(s shownContext) []string {
					current, server := "", s.Server
					if s.Current {
						current = "*"
					}
					if s.Name == localContext {
						server = "the appliance on this host"
					}
					return []string{current, s.Name, server, yesNo(s.Token), yesNo(s.CA)}
				},
				name: func(s shownContext) string { return s.Name },
			})
		},
	}
	outputFlag(cmd)
	return cmd
}

func contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: `Speak to this appliance from now on; "local" is the one on this host`,
		Args: exactly(1, "the name of a context; dragonfly context list has them"), ValidArgsFunction: completeContexts,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadContexts()
			if err != nil {
				return err
			}
			to := "the appliance on this host"
			if c.Current = ""; args[0] != localContext {
				at, err := c.find(args[0])
				if err != nil {
					return err
				}
				c.Current, to = args[0], c.Servers[at].URL
			}
			if err := c.save(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "commands speak to %s now\n", to)
			return nil
		},
	}
}

func contextSetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Add a context, or change what is given of one",
		Long: `Add a context, or change what is given of one. A token belongs to its server: it
is forgotten when the server becomes another one.`,
		Args: exactly(1, "a name for the context"), ValidArgsFunction: completeContexts,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkContextName(args[0]); err != nil {
				return err
			}
			c, err := loadContexts()
			if err != nil {
				return err
			}
			s := remote{Name: args[0]}
			if at, err := c.find(args[0]); err == nil {
				s = c.Servers[at]
			}
			if err := changeContext(cmd, &s); err != nil {
				return err
			}
			c.put(s)
			if err := c.save(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "context %s is %s\n", s.Name, s.URL)
			if c.Current != s.Name {
				fmt.Fprintf(cmd.ErrOrStderr(), "speak to it with --context %s, or from now on with `dragonfly context use %s`\n", s.Name, s.Name)
			}
			return nil
		},
	}
	cmd.Flags().String("server", "", "its `URL`, such as http://lab.example:3000")
	cmd.Flags().Bool("token-stdin", false, "read an API token from the first line of standard input")
	cmd.Flags().String("ca", "", "PEM `FILE` of certificates that vouch for the server, instead of those of the system; empty for those")
	return cmd
}

// changeContext puts what the flags say into s.
func changeContext(cmd *cobra.Command, s *remote) (err error) {
	if text, _ := cmd.Flags().GetString("server"); text != "" {
		before := s.URL
		if s.URL, err = parseServer(text); err != nil {
			return err
		}
		if s.URL != before {
			s.Token = ""
		}
	}
	if s.URL == "" {
		return usageError{fmt.Errorf("context %s is not there yet: give its --server URL", s.Name)}
	}
	if cmd.Flags().Changed("ca") {
		path, _ := cmd.Flags().GetString("ca")
		if s.CA = ""; path != "" {
			if s.CA, err = readCA(path); err != nil {
				return err
			}
		}
	}
	if fromStdin, _ := cmd.Flags().GetBool("token-stdin"); fromStdin {
		s.Token, err = readToken(cmd.InOrStdin())
	}
	return err
}

// readToken reads an API token from the first line of in.
func readToken(in io.Reader) (string, error) {
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(line)
	if token == "" || strings.ContainsAny(token, " \t") {
		return "", usageError{errors.New("want an API token on the first line of standard input; `dragonfly token create` makes one")}
	}
	return token, nil
}

func contextDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Forget a context, and its token", ValidArgsFunction: completeContexts,
		Args: exactly(1, "the name of a context; dragonfly context list has them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadContexts()
			if err != nil {
				return err
			}
			if err := checkContextName(args[0]); err != nil {
				return err
			}
			at, err := c.find(args[0])
			if err != nil {
				return err
			}
			c.Servers = slices.Delete(c.Servers, at, at+1)
			if c.Current == args[0] {
				c.Current = ""
			}
			if err := c.save(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "context %s is gone; its token is not revoked\n", args[0])
			return nil
		},
	}
}

// completeContexts offers the names of contexts to the shell.
func completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := loadContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, 0, len(c.Servers)+1)
	for _, s := range c.shown() {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
