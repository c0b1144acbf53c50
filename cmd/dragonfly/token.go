package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dragonfly/registry/api"
)

func tokenCommand() *cobra.Command {
	token := &cobra.Command{Use: "token", Short: "API tokens, which act for accounts",
		Long: `API tokens, which act for accounts: send one as "Authorization: Bearer df_...".

A token may do what its role says, and never more than its owner; it ends with
its owner, at its expiry, or when it is revoked. With --scope it is good for parts
of the API only: each is what follows /api/v1/ in the paths that it may use, such
as deployments or backup, or metrics. Deploying a machine belongs to machines.`}
	token.AddCommand(tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
	return token
}

func tokenCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME --owner ACCOUNT",
		Short: "Make an API token and print it, this once",
		Example: `  dragonfly token create prometheus --owner ana --role viewer --scope metrics
  dragonfly token create nightly --owner ana --role admin --scope backup
  dragonfly token create ci --owner bob --role operator --expires 90d`,
		Args: exactly(1, "a name for the token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			role, err := roleOf(cmd.Flag("role").Value.String())
			if err != nil {
				return err
			}
			expires, err := expiry(cmd.Flag("expires").Value.String(), time.Now())
			if err != nil {
				return err
			}
			owner, _ := cmd.Flags().GetString("owner")
			scopes, _ := cmd.Flags().GetStringSlice("scope")
			if owner == "" {
				return usageError{errors.New("want the account that the token acts for: --owner ACCOUNT")}
			}
			if len(scopes) == 0 && cmd.Flags().Changed("scope") { // a variable of a script that is not set
				return usageError{errors.New("--scope is empty, and without it a token is good for everything; want a part of the API, such as metrics")}
			}
			made, err := control(cmd).CreateToken(cmd.Context(), api.TokenRequest{Name: args[0], Owner: owner, Role: role, Scopes: scopes, ExpiresAt: expires})
			if err != nil {
				return fmt.Errorf("create token %s: %w", args[0], err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), made.Secret)
			fmt.Fprintf(cmd.ErrOrStderr(), "token %s for %s, %s, scopes: %s, expires: %s. It is not shown again.\n", made.ID, made.Owner, made.Role, scopesOf(made), moment(made.ExpiresAt))
			return nil
		},
	}
	cmd.Flags().String("owner", "", "the account that the token acts for")
	cmd.Flags().String("role", "viewer", "viewer, operator or admin; at most the owner's")
	cmd.Flags().StringSlice("scope", nil, "a `part` of the API that it is good for, such as metrics; may be repeated (default all)")
	cmd.Flags().String("expires", "", "after this `time`, such as 12h or 90d (default never)")
	controlFlags(cmd)
	return cmd
}

// scopesOf is what parts of the API a token is good for.
func scopesOf(t api.Token) string { return cmp.Or(strings.Join(t.Scopes, ","), "all") }

// expiry is when something that lasts for text from now on ends; zero where text
// is empty.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	lasts, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		lasts = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || lasts <= 0 {
		return time.Time{}, usageError{fmt.Errorf("expires %q: want a time such as 12h or 90d", text)}
	}
	return now.Add(lasts), nil
}

func tokenListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the API tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tokens, err := control(cmd).Tokens(cmd.Context())
			if err != nil {
				return fmt.Errorf("list tokens: %w", err)
			}
			return printList(cmd, tokens, columns[api.Token]{
				heads: []string{"ID", "OWNER", "NAME", "ROLE", "SCOPES", "CREATED", "EXPIRES", "LAST USED"},
				cells: func(t api.Token) []string {
					return []string{t.ID, t.Owner, t.Name, string(t.Role), scopesOf(t), moment(t.CreatedAt), moment(t.ExpiresAt), moment(t.UsedAt)}
				},
				name: func(t api.Token) string { return t.ID },
			})
		},
	}
	outputFlag(cmd)
	controlFlags(cmd)
	return cmd
}

func tokenRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End an API token, at once",
		Args: exactly(1, "the ID of the token; dragonfly token list has it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, "Revoke token "+args[0]+"? Whatever uses it stops working."); err != nil {
				return err
			}
			if err := control(cmd).RevokeToken(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("revoke token %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "token %s is revoked\n", args[0])
			return nil
		},
	}
	yesFlag(cmd)
	controlFlags(cmd)
	return cmd
}
