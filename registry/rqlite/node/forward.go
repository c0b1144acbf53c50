package node

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/rqlite/rqlite/v8/cluster"
	clusterproto "github.com/rqlite/rqlite/v8/cluster/proto"
	"github.com/rqlite/rqlite/v8/command/proto"
	"github.com/rqlite/rqlite/v8/store"
)

// database is the store of a member. It reads as leader only, and after making
// sure that it is: a follower's file may be old, and that of a member that has
// just started is empty. A new leader first applies all that was committed before
// it.
type database struct{ *store.Store }

// Query answers with every write that was acknowledged by any member, or with
// [store.ErrNotLeader].
func (d database) Query(q *proto.QueryRequest) ([]*proto.QueryRows, uint64, error) {
	if !d.IsLeader() {
		return nil, 0, store.ErrNotLeader
	}
	if q.Level != proto.QueryRequest_QUERY_REQUEST_LEVEL_STRONG {
		q.Level = proto.QueryRequest_QUERY_REQUEST_LEVEL_LINEARIZABLE
		q.LinearizableTimeout = applyPatience.Nanoseconds()
	}
	rows, index, err := d.Store.Query(q)
	if errors.Is(err, store.ErrWaitForFSMTimeout) {
		q.Level = proto.QueryRequest_QUERY_REQUEST_LEVEL_STRONG
		return d.Store.Query(q)
	}
	return rows, index, err
}

// applyPatience is how long a read waits until all that is committed is applied.
// When members come or go, rqlite waits in vain: it counts what changes the
// database, and that does not. A read that goes through the log puts the count
// right, for itself and those after it.
const applyPatience = 25 * time.Millisecond

// dialTimeout is how long a member may take to answer the door.
const dialTimeout = 2 * time.Second

// answerTimeout is how long the leader may take for one request. It is cut short
// when another is elected.
const answerTimeout = 10 * time.Second

// forwarder sends requests to the leader over connections that are kept. When the
// leader changes so does the client, since its pool may hold dead connections,
// each of which would cost a request.
type forwarder struct {
	*cluster.Client // for what the gate lets nobody ask for
	network         *lane
	now             atomic.Pointer[cluster.Client]
}

func newForwarder(network *lane) *forwarder {
	f := &forwarder{Client: cluster.NewClient(network, dialTimeout), network: network}
	f.renew()
	return f
}

// renew begins anew, without a connection.
func (f *forwarder) renew() { f.now.Store(cluster.NewClient(f.network, dialTimeout)) }

// Execute is [cluster.Client.Execute].
func (f *forwarder) Execute(r *proto.ExecuteRequest, leader string, c *clusterproto.Credentials, _ time.Duration, retries int) ([]*proto.ExecuteQueryResponse, uint64, error) {
	return f.now.Load().Execute(r, leader, c, answerTimeout, retries)
}

// Query is [cluster.Client.Query].
func (f *forwarder) Query(r *proto.QueryRequest, leader string, c *clusterproto.Credentials, _ time.Duration) ([]*proto.QueryRows, uint64, error) {
	return f.now.Load().Query(r, leader, c, answerTimeout)
}

// Request is [cluster.Client.Request].
func (f *forwarder) Request(r *proto.ExecuteQueryRequest, leader string, c *clusterproto.Credentials, _ time.Duration, retries int) ([]*proto.ExecuteQueryResponse, uint64, error) {
	return f.now.Load().Request(r, leader, c, answerTimeout, retries)
}
