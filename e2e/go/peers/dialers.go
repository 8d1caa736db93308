package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
)

// dialer opens a connection to an address through the server behind a Unix socket.
type dialer func(ctx context.Context, address string) (net.Conn, error)

// dialGRPC does what kube-apiserver does in GRPC mode: one tunnel for one connection, the target being the bare
// socket path, so that the authority on the wire is that path, percent-encoded.
func dialGRPC(socket string) dialer {
	return func(ctx context.Context, address string) (net.Conn, error) {
		tunnel, err := client.CreateSingleUseGrpcTunnelWithContext(ctx, context.Background(), socket, grpcOptions(socket)...)
		if err != nil {
			return nil, err
		}
		return tunnel.DialContext(ctx, "tcp", address)
	}
}

// dialReusable shares one HTTP/2 connection among all dials, as newer clients can.
func dialReusable(socket string) (dialer, func(), error) {
	tunnel, err := client.CreateGRPCTunnel(context.Background(), socket, grpcOptions(socket)...)
	if err != nil {
		return nil, nil, err
	}
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		return tunnel.DialContext(ctx, "tcp", address)
	}
	return dial, func() { _ = tunnel.Close() }, nil
}

func grpcOptions(socket string) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	}
}

// connectError is an answer to CONNECT that is not 200.
type connectError struct {
	code int
	body string
}

func (e connectError) Error() string { return fmt.Sprintf("CONNECT answered %d: %s", e.code, e.body) }

// dialHTTPConnect does what kube-apiserver does in HTTPConnect mode, and fails as it does on a byte behind the 200.
func dialHTTPConnect(socket string) dialer {
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		if deadline, ok := ctx.Deadline(); ok {
			_ = conn.SetDeadline(deadline)
		}
		if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", address); err != nil {
			conn.Close()
			return nil, err
		}
		reader := bufio.NewReader(conn)
		answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
		if err != nil {
			conn.Close()
			return nil, err
		}
		if answer.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, 4096))
			conn.Close()
			return nil, connectError{code: answer.StatusCode, body: string(body)}
		}
		if extra := reader.Buffered(); extra > 0 {
			conn.Close()
			return nil, fmt.Errorf("unexpected %d bytes behind the 200", extra)
		}
		_ = conn.SetDeadline(time.Time{})
		return conn, nil
	}
}

func dialerFor(mode, socket string) dialer {
	if mode == "grpc" {
		return dialGRPC(socket)
	}
	return dialHTTPConnect(socket)
}
