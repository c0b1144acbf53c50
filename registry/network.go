package registry

import "time"

// Networks is how one server stands on its networks: where it answers and what, and who
// else does. It is what is in the memory of that server.
type Networks struct {
	Interfaces []NetworkInterface `json:"interfaces" doc:"that network boots are answered on"`
	Ports      []NetworkPort      `json:"ports" doc:"that are listened on"`
	Boots      map[string]uint64  `json:"http_boots" doc:"what machines asked for below /boot/: scripts, files, refused"`
}

// NetworkInterface is one interface that network boots are answered on.
type NetworkInterface struct {
	Name      string            `json:"name" example:"eth0"`
	Card      MAC               `json:"mac"`
	Address   string            `json:"address" doc:"where machines are told to come to" example:"10.0.0.2"`
	Addresses []string          `json:"addresses" doc:"all it has" example:"10.0.0.2/24"`
	Link      bool              `json:"up"`
	DHCP      map[string]uint64 `json:"dhcp" doc:"packets by what became of them, since the start"`
	TFTP      map[string]uint64 `json:"tftp" doc:"transfers by what became of them, since the start"`
	Requests  []NetworkRequest  `json:"requests" doc:"the last ones, the newest first"`
	Servers   []NetworkServer   `json:"servers" doc:"other DHCP servers that were heard of in the last day"`
	Beyond    uint64            `json:"servers_beyond,omitempty" doc:"how often one more was heard of than is kept: somebody invents them"`
	Deaf      string            `json:"deaf,omitempty" doc:"why the answers of other servers cannot be heard; then they are known by what clients say"`
	Problems  []string          `json:"problems,omitempty" doc:"what is wrong, each with what to do"`
	Hints     []string          `json:"hints,omitempty" doc:"what may be wrong"`
}

// NetworkRequest is what a machine asked last on a network, and what became of it.
type NetworkRequest struct {
	At      time.Time `json:"at"`
	MAC     MAC       `json:"mac"`
	Client  string    `json:"client" example:"PXE firmware, uefi-x64"`
	Port    int       `json:"port" example:"67"`
	Outcome string    `json:"outcome" example:"offered"`
	Why     string    `json:"why" doc:"the rule that decided"`
	Times   int       `json:"times" doc:"how often it asked for the same"`
}

// NetworkServer is another DHCP server.
type NetworkServer struct {
	Address   string    `json:"address"`
	Card      *MAC      `json:"mac,omitempty" doc:"as the kernel knows it; none where it is behind a router"`
	First     time.Time `json:"first_heard"`
	Last      time.Time `json:"last_heard"`
	Answers   uint64    `json:"answers" doc:"that were heard"`
	Chosen    uint64    `json:"chosen" doc:"how often a client said that it takes its offer"`
	Addresses bool      `json:"gives_addresses"`
	Boots     bool      `json:"answers_boots"`
	File      string    `json:"boot_file,omitempty"`
	Silent    bool      `json:"silent" doc:"it has not answered when all were asked last"`
	Member    bool      `json:"member,omitempty" doc:"it is of our own cluster"`
}

// NetworkPort is a port that is listened on.
type NetworkPort struct {
	Port     int      `json:"port"`
	Protocol string   `json:"protocol" enum:"tcp,udp"`
	On       string   `json:"on" doc:"the interface or the address; * for all" example:"eth0"`
	For      string   `json:"for" example:"TFTP"`
	Ours     bool     `json:"ours" doc:"this server has it open"`
	Others   []string `json:"others,omitempty" doc:"programs of this host that have it open, too" example:"dnsmasq (pid 123)"`
}
