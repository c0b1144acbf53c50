package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func userCommand() *cobra.Command {
	user := &cobra.Command{Use: "user", Short: "Operators' accounts"}
	create := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an administrator, or give one a new password",
		Long: `Create an administrator, or give an existing one a new password. Until the first
account exists, the UI and the API answer this host only.

The password is asked for, or read from standard input with --password-stdin.`,
		Args: exactly(1, "the name of the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(cmd)
			if err != nil {
				return err
			}
			if err := control(cmd).PutUser(cmd.Context(), args[0], password); err != nil {
				return fmt.Errorf("create user %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s may sign in now\n", args[0])
			return nil
		},
	}
	create.Flags().Bool("password-stdin", false, "read the password from the first line of standard input")
	controlFlags(create)
	user.AddCommand(create)
	return user
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
