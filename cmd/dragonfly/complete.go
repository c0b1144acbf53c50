package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dragonfly/registry"
	"dragonfly/registry/api"
)

// completeWithin bounds how long somebody who pressed Tab waits for a server. Tests change it.
var completeWithin = 2 * time.Second

// maxOffered is how many names are asked for; more are no help to choose from.
const maxOffered = 500

// offer is the names that may stand in one place of a command line and begin with
// prefix, each with a word about it.
type offer func(cmd *cobra.Command, ask *api.Client, prefix string) ([]cobra.Completion, error)

// offeredArguments is what may stand for a word in the Use of a command.
var offeredArguments = map[string]offer{
	"MACHINE": offerMachines, "KEEP": offerMachines, "FROM": offerMachines, "OBJECT": offerMachines,
	"OS": offerOSes, "DEPLOYMENT": offerDeployments, "ROLE": offerRoles, "ACCOUNT": offerAccounts,
	"ID": offerTokens, "IMAGE": offerImages, "JOB": offerImageJobs, "MEMBER": offerMembers,
}

// offeredValues is what may stand behind a flag, by its name.
var offeredValues = map[string]offer{"machine": offerMachines, "os": offerOSes, "role": offerRoles, "state": offerDeploymentStates}

// addCompletion adds the command that prints the scripts for shells. It keeps the output
// that root has by now.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		strictArguments(completion)
	}
}

// completeNames has the shell complete the arguments of cmd, and of the commands below
// it, by what their Use says they are.
func completeNames(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		completeNames(below)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if of, known := offeredValues[f.Name]; known {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return offered(cmd, of, nil, prefix)
			}) // the flag is there
		}
	})
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = completeArgument
	}
}

// completeArgument completes the argument behind args. Files are left to the shell.
func completeArgument(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	word := wordOfUse(cmd, len(args))
	if word == "FILE" {
		return nil, cobra.ShellCompDirectiveDefault
	}
	of, known := offeredArguments[word]
	if !known {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offered(cmd, of, args, prefix)
}

// wordOfUse is what the Use of cmd calls its argument at a place; empty where it takes
// none there. The last one may be repeated.
func wordOfUse(cmd *cobra.Command, at int) string {
	words := strings.Fields(cmd.Use)[1:]
	if end := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(strings.TrimPrefix(w, "["), "-") }); end >= 0 {
		words = words[:end]
	}
	if last := len(words) - 1; at > last && last >= 0 && strings.HasSuffix(strings.Trim(words[last], "[]"), "...") {
		at = last
	}
	if at >= len(words) {
		return ""
	}
	return strings.TrimSuffix(strings.Trim(words[at], "[]"), "...")
}

// offered is what is offered to the shell: nothing where the server cannot be asked,
// since an error would be in the middle of what is being typed.
func offered(cmd *cobra.Command, of offer, given []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	cmd.SetContext(ctx)
	all, err := of(cmd, control(cmd), prefix)
	if err != nil {
		return nil, directive
	}
	return slices.DeleteFunc(all, func(c cobra.Completion) bool {
		name, _, _ := strings.Cut(c, "\t")
		return !strings.HasPrefix(name, prefix) || slices.Contains(given, name)
	}), directive
}

func offerMachines(cmd *cobra.Command, ask *api.Client, prefix string) (all []cobra.Completion, err error) {
	selection := api.Selection{Sort: "name"}
	if prefix != "" {
		selection.Filter = "name:~" + prefix
	}
	machines, _, err := ask.Machines(cmd.Context(), selection, "", maxOffered)
	for _, m := range machines {
		all = append(all, cobra.CompletionWithDesc(m.Name, strings.TrimSpace(string(m.State)+" "+m.Model)))
	}
	return all, err
}

func offerOSes(cmd *cobra.Command, ask *api.Client, _ string) (all []cobra.Completion, err error) {
	oses, err := ask.OSes(cmd.Context())
	for _, o := range oses {
		all = append(all, cobra.CompletionWithDesc(o.ID, o.Name))
	}
	return all, err
}

// offerDeployments offers the deployments that a command can do something with.
func offerDeployments(cmd *cobra.Command, ask *api.Client, _ string) (all []cobra.Completion, err error) {
	deployments, err := ask.AllDeployments(cmd.Context(), api.DeploymentSelection{}, maxOffered)
	for _, d := range deployments {
		switch ended := d.State.Ended(); {
		case ended && (cmd.Name() == "cancel" || cmd.Name() == "wait"):
		case cmd.Name() == "retry" && (!ended || d.State == registry.DeploymentSucceeded):
		default:
			all = append(all, cobra.CompletionWithDesc(d.ID, d.MachineName+" "+titleOf(d)+" "+string(d.State)))
		}
	}
	return all, err
}

func offerRoles(*cobra.Command, *api.Client, string) (all []cobra.Completion, err error) {
	for _, role := range registry.Roles() {
		all = append(all, string(role))
	}
	return all, nil
}

func offerDeploymentStates(*cobra.Command, *api.Client, string) (all []cobra.Completion, err error) {
	for _, state := range registry.DeploymentStates() {
		all = append(all, string(state))
	}
	return all, nil
}

func offerAccounts(cmd *cobra.Command, ask *api.Client, _ string) (all []cobra.Completion, err error) {
	users, err := ask.Users(cmd.Context())
	for _, u := range users {
		all = append(all, cobra.CompletionWithDesc(u.Name, string(u.Role)))
	}
	return all, err
}

func offerTokens(cmd *cobra.Command, ask *api.Client, _ string) (all []cobra.Completion, err error) {
	tokens, err := ask.Tokens(cmd.Context())
	for _, t := range tokens {
		all = append(all, cobra.CompletionWithDesc(t.ID, t.Name+" of "+t.Owner))
	}
	return all, err
}

// offerImages offers the beginnings of the names of images, as they are listed.
func offerImages(cmd *cobra.Command, ask *api.Client, _ string) (all []cobra.Completion, err error) {
	list, err := ask.Images(cmd.Context())
	for _, i := range list.Images {
		all = append(all, cobra.CompletionWithDesc(shortName(i), i.Title))
	}
	return all, err
}

// offerImageJobs offers the jobs that have something to cancel, or to delete.
func offerImageJobs(cmd *cobra.Command, ask *api.Client, _ string) (all []cobra.Completion, err error) {
	list, err := ask.Images(cmd.Context())
	for _, j := range list.Jobs {
		if j.State != registry.ImageJobSucceeded {
			all = append(all, cobra.CompletionWithDesc(j.ID, j.Title))
		}
	}
	return all, err
}

// offerMembers offers the hosts of a cluster, by their IDs where no name is known.
func offerMembers(cmd *cobra.Command, ask *api.Client, _ string) (all []cobra.Completion, err error) {
	status, err := ask.Cluster(cmd.Context())
	for _, m := range status.Members {
		all = append(all, cobra.CompletionWithDesc(cmp.Or(m.Name, m.ID), m.Address))
	}
	return all, err
}
