// Package tink speaks the protocol between Tink server and its agents: a [Client] for
// our agent as Tinkerbell's worker, and a [Handler], which is the other end of it.
//
// The protocol is two unary gRPC calls (tink.proto). gRPC's own library would add
// 5.7 MB to the agent, 1.6 MB of them compressed, and its image has not a tenth of
// that left. What two calls need of it is little: HTTP/2, which net/http has, a frame
// of five bytes around each message, and the outcome in the trailers
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). The messages are
// encoded field by field with protowire. Both together add 16 kB.
//
// Nothing in the protocol says who a peer is: the ID of an agent is what it says.
package tink
