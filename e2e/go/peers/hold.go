package main

import (
	"context"
	"flag"
	"io"
)

// runHold opens one connection and writes to it and reads from it for ever: somebody kills it.
func runHold(args []string) error {
	flags := flag.NewFlagSet("hold", flag.ContinueOnError)
	mode := flags.String("mode", "grpc", "grpc or http-connect")
	uds := flags.String("uds", "", "path of the server's socket")
	address := flags.String("address", "", "host:port to reach")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := dialerFor(*mode, *uds)(context.Background(), *address)
	if err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	piece := make([]byte, 16<<10)
	for {
		if _, err := conn.Write(piece); err != nil {
			return err
		}
	}
}
