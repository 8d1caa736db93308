package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"
)

// stalledReaders leaves three downloads unread; connections beside them must not notice.
func stalledReaders(ctx context.Context, w world) error {
	for range 3 {
		conn, err := w.open(ctx, w.ends.source)
		if err != nil {
			return err
		}
		defer func() { go conn.Close() }() // the Go client waits up to 10 s for an answer
		if err := binary.Write(conn, binary.BigEndian, uint64(1<<30)); err != nil {
			return err
		}
	}
	return freshEchoes(ctx, w)
}

// stalledEndpoints uploads into three endpoints that never read; connections beside them must not notice.
func stalledEndpoints(ctx context.Context, w world) error {
	for range 3 {
		conn, err := w.open(ctx, w.ends.stuck)
		if err != nil {
			return err
		}
		defer func() { go conn.Close() }()
		go fill(conn)
	}
	return freshEchoes(ctx, w)
}

func fill(conn net.Conn) {
	piece := make([]byte, 16<<10)
	for {
		if _, err := conn.Write(piece); err != nil {
			return
		}
	}
}

// freshEchoes goes on for longer than any stall limit, each echo over a connection of its own, none slower than 2 s.
func freshEchoes(ctx context.Context, w world) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range 50 {
		started := time.Now()
		conn, err := w.open(ctx, w.ends.echo)
		if err != nil {
			return fmt.Errorf("dial %d beside the stalled ones: %w", i, err)
		}
		err = within(10*time.Second, "echo", func() error { return echoOver(conn, 1000) })
		go conn.Close()
		if err != nil {
			return fmt.Errorf("echo %d beside the stalled ones: %w", i, err)
		}
		if took := time.Since(started); took > 2*time.Second {
			return fmt.Errorf("echo %d beside the stalled ones took %s", i, took)
		}
		<-tick.C
	}
	return nil
}
