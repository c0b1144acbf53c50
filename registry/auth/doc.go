// Package auth decides who may do what. Every request passes the [Gate], which
// knows the least role of every route from one table, the [Policy]; a route that
// is not in it is refused. Nobody is trusted by address: the loopback address
// counts only until the first account exists, and the control socket counts
// because its file mode does.
//
// There are six ways to be known:
//
//   - a session, of somebody who signed in with a password ([Accounts]) or at an
//     identity provider ([OIDC]);
//   - an API token, which acts for its owner with at most its owner's role, perhaps
//     in a few parts of the API only ([Policy.Scopes]);
//   - a boot token, which the boot script carries: good for one address, for
//     minutes, and for the one machine that used it first ([Tokens]);
//   - a machine token, which the agent gets when it registers: good for that
//     machine's own agent routes;
//   - a seed token, for what an installed system reads at its first boot: good for
//     one deployment of one machine, until that is over;
//   - the control socket.
//
// Accounts and API tokens are one small document, the directory. Every server
// holds it in memory, at most a second old, so that known people are still known
// while the database is away, and a rule such as "one administrator must stay"
// is checked against all of it; it is written with the version it was read at.
// What the database holds of a secret is never the secret: passwords are
// argon2id hashes, API tokens and session ids are SHA-256 hashes, and keys are
// sealed by a [Box] whose key file stays on the host.
package auth
