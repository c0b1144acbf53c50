package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

func userCommand() *cobra.Command {
	user := &cobra.Command{Use: "user", Short: "Operators' accounts",
		Long: `Operators' accounts. Until the first one exists, the UI and the API answer this
host only. A role includes those before it:

  viewer     sees machines and what happens to them
  operator   changes machines, reads the audit log
  admin      changes accounts and settings`}
	user.AddCommand(userCreateCommand(), userListCommand(), userDeleteCommand(), userPasswordCommand(), userRoleCommand())
	return user
}

func userCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an account",
		Long: `Create an account, by default an administrator's.

The password is asked for, or read from standard input with --password-stdin.`,
		Example: `  dragonfly user create ana
  pwgen 20 1 | dragonfly user create bob --role operator --password-stdin`,
		Args: exactly(1, "the name of the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			role, err := roleOf(cmd.Flag("role").Value.String())
			if err != nil {
				return err
			}
			password, err := readPassword(cmd)
			if err != nil {
				return err
			}
			err = control(cmd).CreateUser(cmd.Context(), args[0], api.UserChange{Password: password, Role: role})
			if api.Status(err) == http.StatusPreconditionFailed {
				return reworded{fmt.Errorf("there is an account %s already: give it a new password with `dragonfly user passwd %s`, or a role with `dragonfly user role %s ROLE`", args[0], args[0], args[0]), err}
			}
			if err != nil {
				return fmt.Errorf("create user %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s may sign in now, as %s\n", args[0], role)
			return nil
		},
	}
	cmd.Flags().String("role", string(registry.Admin), "viewer, operator or admin")
	passwordFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func userListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the accounts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			users, err := control(cmd).Users(cmd.Context())
			if err != nil {
				return fmt.Errorf("list users: %w", err)
			}
			return printList(cmd, users, columns[api.User]{
				heads: []string{"NAME", "ROLE", "ORIGIN", "CREATED"},
				cells: func(u api.User) []string { return []string{u.Name, string(u.Role), u.Origin, moment(u.CreatedAt)} },
				name:  func(u api.User) string { return u.Name },
			})
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func userDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete ACCOUNT", Short: "Delete an account, its sessions and its API tokens",
		Args: exactly(1, "the name of the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, "Delete "+args[0]+", and all API tokens that act for it?"); err != nil {
				return err
			}
			if err := control(cmd).DeleteUser(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("delete user %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is gone\n", args[0])
			return nil
		},
	}
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func userPasswordCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "passwd ACCOUNT", Short: "Give an account a new password and end its sessions",
		Long: `Give an account a new password and end its sessions. Its API tokens stay; see
dragonfly token revoke.

The password is asked for, or read from standard input with --password-stdin.`,
		Args: exactly(1, "the name of the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(cmd)
			if err != nil {
				return err
			}
			if err := control(cmd).ChangeUser(cmd.Context(), args[0], api.UserChange{Password: password}); err != nil {
				return fmt.Errorf("new password for %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has a new password and is signed out everywhere\n", args[0])
			return nil
		},
	}
	passwordFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func userRoleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "role ACCOUNT ROLE", Short: "Give an account another role: viewer, operator or admin",
		Args: exactly(2, "the name of the account and its new role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			role, err := roleOf(args[1])
			if err != nil {
				return err
			}
			if err := control(cmd).ChangeUser(cmd.Context(), args[0], api.UserChange{Role: role}); err != nil {
				return fmt.Errorf("role of %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s now\n", args[0], role)
			return nil
		},
	}
	controlFlags(cmd)
	return cmd
}

// roleOf is the role called text, or a [usageError] that names those there are.
func roleOf(text string) (registry.Role, error) {
	if role := registry.Role(text); role.Known() {
		return role, nil
	}
	known := []string{}
	for _, role := range registry.Roles() {
		known = append(known, string(role))
	}
	return "", usageError{fmt.Errorf("role %.40q: want %s", text, oneOf(text, known))}
}

// exactly is [cobra.ExactArgs] with a message that says what is missing.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("want %s; see %s --help", what, cmd.CommandPath())}
		}
		return nil
	}
}

func passwordFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("password-stdin", false, "read the password from the first line of standard input")
}

func readPassword(cmd *cobra.Command) (string, error) {
	if fromStdin, _ := cmd.Flags().GetBool("password-stdin"); fromStdin {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return "", usageError{errors.New("standard input is no terminal: give the password with --password-stdin")}
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(cmd.ErrOrStderr(), prompt)
		password, err := term.ReadPassword(fd)
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(password), err
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("Again: ")
	if err == nil && again != first {
		err = errors.New("the two passwords differ; nothing was changed")
	}
	return first, err
}
