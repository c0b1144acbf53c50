package main

import (
	"context"
	"net"
	"net/http"
)

// streams are the routes that write for as long as somebody reads.
var streams = map[string]bool{"/api/v1/events": true, "/live": true}

// streamBuffer is what the kernel keeps for a reader of a stream that takes
// nothing, until it is cut off; Linux takes twice as much (socket(7), SO_SNDBUF).
// Left alone it grows to megabytes. A tick of a busy stream fits.
const streamBuffer = 16 << 10

type connectionKey struct{}

// withConnection is an [http.Server.ConnContext].
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// slim bounds what the kernel keeps for the reader of a stream.
func slim(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(interface{ SetWriteBuffer(bytes int) error }); ok && streams[r.URL.Path] {
			_ = c.SetWriteBuffer(streamBuffer) // without it the stream works as well
		}
		next.ServeHTTP(w, r)
	})
}
