package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dragonfly/registry"
)

// Cluster is the hosts whose servers share one database, each with a part of it.
type Cluster interface {
	// Members is every member as it is now; none for a server that stands alone.
	Members(ctx context.Context) ([]registry.ClusterMember, error)
	// Invite makes a token that lets one more host in.
	Invite() (registry.ClusterToken, error)
	// Remove takes a member out, by its ID, its host's name or its address.
	Remove(ctx context.Context, name string) (registry.ClusterMember, error)
}

// ClusterStatus is where the database is, and on which hosts.
type ClusterStatus struct {
	Mode    string          `json:"mode" enum:"alone,cluster,remote" doc:"where the database is: in this server, in the servers of a cluster, or in an rqlite elsewhere"`
	Members []ClusterMember `json:"members"`
}

// ClusterMember is one host of a cluster, as the server that was asked sees it.
type ClusterMember struct {
	ID        string    `json:"id"`
	Name      string    `json:"name" doc:"of the host; empty where it was never reached"`
	Address   string    `json:"address" doc:"of its cluster port"`
	Self      bool      `json:"self" doc:"the server that was asked"`
	Leader    bool      `json:"leader"`
	Voter     bool      `json:"voter" doc:"false while it is joining"`
	Reachable bool      `json:"reachable"`
	Cause     string    `json:"cause,omitempty" doc:"why it is not reachable"`
	Expires   time.Time `json:"certificate_expires,omitzero"`
}

// ClusterToken lets one host into the cluster.
type ClusterToken struct {
	Token   string    `json:"token" doc:"for dragonfly cluster join; good once, at the member that made it"`
	Expires time.Time `json:"expires_at"`
}

func (s *Server) mountCluster(api huma.API) {
	tags := []string{"cluster"}
	huma.Register(api, huma.Operation{OperationID: "get-cluster", Method: http.MethodGet, Path: "/api/v1/cluster",
		Summary: "The hosts that share the database", Tags: tags, Errors: []int{503}}, s.getCluster)
	huma.Register(api, huma.Operation{OperationID: "create-cluster-token", Method: http.MethodPost, Path: "/api/v1/cluster/tokens",
		Summary: "Make a token that lets one host into the cluster", Tags: tags, DefaultStatus: http.StatusCreated, Errors: []int{409}}, s.createClusterToken)
	huma.Register(api, huma.Operation{OperationID: "remove-cluster-node", Method: http.MethodDelete, Path: "/api/v1/cluster/nodes/{id}",
		Summary: "Take a host out of the cluster", Tags: tags, Errors: []int{404, 409, 503},
		Description: "Refused where the others would be left without the majority that every change needs."}, s.removeClusterNode)
}

type clusterOutput struct{ Body ClusterStatus }

func (s *Server) getCluster(ctx context.Context, _ *struct{}) (*clusterOutput, error) {
	out := &clusterOutput{Body: ClusterStatus{Mode: "remote", Members: []ClusterMember{}}}
	if s.cluster == nil {
		return out, nil
	}
	members, err := s.cluster.Members(ctx)
	if err != nil {
		return nil, s.problem(err)
	}
	out.Body.Mode = "alone"
	for _, m := range members {
		out.Body.Mode = "cluster"
		out.Body.Members = append(out.Body.Members, ClusterMember(m))
	}
	return out, nil
}

type clusterTokenOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         ClusterToken
}

func (s *Server) createClusterToken(ctx context.Context, _ *struct{}) (*clusterTokenOutput, error) {
	if s.cluster == nil {
		return nil, s.problem(registry.ErrNoCluster)
	}
	token, err := s.cluster.Invite()
	if err != nil {
		return nil, s.problem(err)
	}
	s.log.Info("a join token was made", "expires", token.Expires, "by", registry.ActorOf(ctx).Name)
	s.registry.Note(ctx, "cluster.invite", "cluster/", nil)
	return &clusterTokenOutput{CacheControl: "no-store", Body: ClusterToken(token)}, nil
}

type clusterNodeInput struct {
	ID string `path:"id" maxLength:"256" doc:"ID, host name or address of the member"`
}

func (s *Server) removeClusterNode(ctx context.Context, in *clusterNodeInput) (*struct{}, error) {
	if s.cluster == nil {
		return nil, s.problem(registry.ErrNoCluster)
	}
	gone, err := s.cluster.Remove(ctx, in.ID)
	if err != nil {
		return nil, s.problem(err)
	}
	s.registry.Note(ctx, "cluster.remove", "cluster/"+gone.ID, nil)
	return nil, nil
}

// Cluster is the hosts that share the server's database.
func (c *Client) Cluster(ctx context.Context) (ClusterStatus, error) {
	var reply ClusterStatus
	err := c.do(ctx, http.MethodGet, "/api/v1/cluster", nil, &reply)
	return reply, err
}

// ClusterToken makes a token that lets one host into the cluster.
func (c *Client) ClusterToken(ctx context.Context) (ClusterToken, error) {
	var reply ClusterToken
	err := c.do(ctx, http.MethodPost, "/api/v1/cluster/tokens", nil, &reply)
	return reply, err
}

// RemoveMember takes a host out of the cluster.
func (c *Client) RemoveMember(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/api/v1/cluster/nodes/"+url.PathEscape(name), nil, nil)
}
