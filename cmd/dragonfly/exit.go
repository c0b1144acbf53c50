package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// Exit codes, stable for scripts.
const (
	exitError      = 1 // whatever is none of the others, such as what the server does not accept (400, 422)
	exitUsage      = 2 // the command line cannot be carried out
	exitNotFound   = 3
	exitConflict   = 4 // it is not in the state for that: changed meanwhile, in use, locked
	exitAgainLater = 5 // timed out, or the database is away
	exitNotAllowed = 6
	exitDiffers    = 7 // a dry run that found something to change
)

// exitCodes is what the help says of them.
const exitCodes = `Exit codes:
  0  done                      4  conflict: changed meanwhile, in use, or locked
  1  error, or not accepted    5  timed out, or the database is away: try again
  2  wrong command line        6  not signed in, or not allowed
  3  not found                 7  a dry run found something to change`

// usageError is a command line that cannot be carried out.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// reworded is an error in words that say what to do about it. Its exit code is that of
// the error it stands for.
type reworded struct {
	error
	of error
}

func (e reworded) Unwrap() error { return e.of }

// answered is what follows from what a server has, for which it would have answered with
// a status.
func answered(status int, format string, args ...any) error {
	return reworded{fmt.Errorf(format, args...), &api.Error{Status: status}}
}

// exitCode is the exit code for err, by what the server answered where it did.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, usage := errors.AsType[usageError](err); usage {
		return exitUsage
	}
	if _, found := errors.AsType[differs](err); found {
		return exitDiffers
	}
	switch api.Status(err) {
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusLocked:
		return exitConflict
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return exitAgainLater
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitNotAllowed
	}
	slow, ok := errors.AsType[net.Error](err)
	if errors.Is(err, context.DeadlineExceeded) || ok && slow.Timeout() {
		return exitAgainLater
	}
	return exitError
}

// strictArguments makes whatever is wrong with the arguments of a command, or of one
// below it, a [usageError], and a word that is none of its commands an error that
// names the nearest.
func strictArguments(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		strictArguments(below)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.FParseErrWhitelist.UnknownFlags = true // of the command that was meant
		cmd.Args, cmd.RunE = cobra.ArbitraryArgs, unknownCommand
		return
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
}

// strictHelp makes help about a command that is not there the same error as the command.
func strictHelp(root *cobra.Command) {
	help, _, err := root.Find([]string{"help"})
	if err != nil {
		return
	}
	show := help.Run
	help.Run, help.RunE = nil, func(cmd *cobra.Command, args []string) error {
		about, unknown, err := root.Find(args)
		if err == nil && len(unknown) > 0 && about.HasSubCommands() {
			return unknownCommand(about, unknown)
		}
		show(cmd, args)
		return nil
	}
}

// unknownCommand is what a command does that only has commands below it.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var known []string
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() {
			known = append(known, below.Name())
		}
	}
	message := fmt.Sprintf("%s has no command %.40q", cmd.CommandPath(), args[0])
	if near := registry.Nearest(args[0], known); near != "" {
		return usageError{errors.New(message + "; did you mean " + near + "?")}
	}
	return usageError{errors.New(message + "; there are " + strings.Join(known, ", "))}
}
