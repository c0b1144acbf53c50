package registry

import (
	"errors"
	"time"
)

// ClusterMember is one host of a cluster of Dragonflies, as another one sees it.
type ClusterMember struct {
	ID        string
	Name      string // the host's; empty where it was never reached
	Address   string // host:port of its cluster port
	Self      bool   // the one that was asked
	Leader    bool
	Voter     bool // false: it is still joining
	Reachable bool
	Cause     string    // why it is not reachable
	Expires   time.Time // its certificate's end; zero where it is not reachable
}

// ClusterToken lets one more host into a cluster.
type ClusterToken struct {
	Token   string
	Expires time.Time
}

// ErrNoCluster is returned where something is asked of a cluster on a host that
// is in none.
var ErrNoCluster = errors.New("this host is not in a cluster; `dragonfly cluster init` begins one, and `dragonfly cluster join` joins one")

// ClusterError is a change of the cluster that is refused: as things are, it
// would do harm.
type ClusterError struct{ Why string }

func (e *ClusterError) Error() string { return e.Why }
