package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const bulk = 100 << 20 // bytes of one bulk transfer

// world is what a scenario may touch: a way to dial through the pair under test, and the far ends.
type world struct {
	mode, socket string
	dial         dialer
	ends         *endpoints
}

// scenario is one row of the table; run returns nil when it was seen to work.
type scenario struct {
	name  string
	modes string // frontends it applies to
	needs string // "server", "both": the half or halves that must be ours, as the other kind is known to stall
	run   func(ctx context.Context, w world) error
}

var scenarios = []scenario{
	{"echo", "grpc http-connect", "", echoOnce},
	{"100 MB up, checksum", "grpc http-connect", "", upload},
	{"100 MB down, checksum", "grpc http-connect", "", download},
	{"200 parallel dials", "grpc http-connect", "", parallelDials},
	{"200 dials, one HTTP/2 connection", "grpc", "", reusableDials},
	{"refused port", "grpc http-connect", "", refusedPort},
	{"black hole", "grpc http-connect", "", blackHole},
	{"client killed mid-stream", "grpc http-connect", "", clientKilled},
	{"50 echoes beside 3 stalled readers", "grpc http-connect", "server", stalledReaders},
	{"50 echoes beside 3 stalled endpoints", "grpc http-connect", "both", stalledEndpoints},
}

func (w world) open(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return w.dial(ctx, address)
}

// within fails a blocking exchange that takes too long: connections of the Go client know no deadlines.
func within(limit time.Duration, what string, exchange func() error) error {
	done := make(chan error, 1)
	go func() { done <- exchange() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("%s: no end after %s", what, limit)
	}
}

func echoOver(conn io.ReadWriter, size int) error {
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	received := make([]byte, size)
	go func() { _, _ = conn.Write(sent) }()
	if _, err := io.ReadFull(conn, received); err != nil {
		return fmt.Errorf("reading the echo: %w", err)
	}
	if !bytes.Equal(sent, received) {
		return errors.New("the echo differs from what was sent")
	}
	return nil
}

func echoOnce(ctx context.Context, w world) error {
	conn, err := w.open(ctx, w.ends.echo)
	if err != nil {
		return err
	}
	defer conn.Close()
	return within(20*time.Second, "echo", func() error {
		for _, size := range []int{1, 64, 4096, 70000} {
			if err := echoOver(conn, size); err != nil {
				return err
			}
		}
		return nil
	})
}

func upload(ctx context.Context, w world) error {
	conn, err := w.open(ctx, w.ends.hash)
	if err != nil {
		return err
	}
	defer conn.Close()
	return within(3*time.Minute, "upload", func() error {
		if err := binary.Write(conn, binary.BigEndian, uint64(bulk)); err != nil {
			return err
		}
		sum, err := sendRandom(conn, bulk)
		if err != nil {
			return err
		}
		return expectSum(conn, sum.Sum(nil))
	})
}

func download(ctx context.Context, w world) error {
	conn, err := w.open(ctx, w.ends.source)
	if err != nil {
		return err
	}
	defer conn.Close()
	return within(3*time.Minute, "download", func() error {
		if err := binary.Write(conn, binary.BigEndian, uint64(bulk)); err != nil {
			return err
		}
		sum := sha256.New()
		if _, err := io.CopyN(sum, conn, bulk); err != nil {
			return err
		}
		return expectSum(conn, sum.Sum(nil))
	})
}

func expectSum(conn io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("reading the checksum: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("checksum %x, want %x", got, want)
	}
	return nil
}

func parallelDials(ctx context.Context, w world) error { return manyDials(ctx, w, w.dial) }

func reusableDials(ctx context.Context, w world) error {
	dial, closeTunnel, err := dialReusable(w.socket)
	if err != nil {
		return err
	}
	defer closeTunnel()
	return manyDials(ctx, w, dial)
}

func manyDials(ctx context.Context, w world, dial dialer) error {
	w.dial = dial
	var group sync.WaitGroup
	failures := make(chan error, 200)
	for range 200 {
		group.Go(func() {
			conn, err := w.open(ctx, w.ends.echo)
			if err != nil {
				failures <- err
				return
			}
			defer conn.Close()
			failures <- within(30*time.Second, "echo", func() error { return echoOver(conn, 1000) })
		})
	}
	group.Wait()
	close(failures)
	var all []error
	for err := range failures {
		if err != nil {
			all = append(all, err)
		}
	}
	if len(all) > 0 {
		return fmt.Errorf("%d of 200 failed, first: %w", len(all), all[0])
	}
	return nil
}

func refusedPort(ctx context.Context, w world) error {
	return expectDialError(ctx, w, w.ends.refused, 502, "connection refused")
}

func blackHole(ctx context.Context, w world) error {
	return expectDialError(ctx, w, w.ends.blackHole, 504, "i/o timeout")
}

func expectDialError(ctx context.Context, w world, address string, code int, text string) error {
	started := time.Now()
	conn, err := w.open(ctx, address)
	if err == nil {
		conn.Close()
		return fmt.Errorf("the dial to %s succeeded", address)
	}
	if took := time.Since(started); took > 10*time.Second {
		return fmt.Errorf("the answer took %s: %w", took, err)
	}
	if !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), address) {
		return fmt.Errorf("want %q and the address in the error, got: %w", text, err)
	}
	var refusal connectError
	if w.mode == "http-connect" && (!errors.As(err, &refusal) || refusal.code != code) {
		return fmt.Errorf("want status %d, got: %w", code, err)
	}
	return nil
}

// clientKilled kills a process in the middle of a stream: the endpoint must see its connection end, others go on.
func clientKilled(ctx context.Context, w world) error {
	before := w.ends.open.Load()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	holder := exec.CommandContext(ctx, self, "hold", "--mode", w.mode, "--uds", w.socket, "--address", w.ends.echo)
	if err := holder.Start(); err != nil {
		return err
	}
	opened := eventually(15*time.Second, func() bool { return w.ends.open.Load() > before })
	_ = holder.Process.Kill()
	_ = holder.Wait()
	if !opened {
		return errors.New("the client never reached the endpoint")
	}
	if !eventually(15*time.Second, func() bool { return w.ends.open.Load() <= before }) {
		return errors.New("the endpoint still holds the connection of a client that is dead")
	}
	return echoOnce(ctx, w)
}

// eventually polls a fact until it holds or the limit has passed.
func eventually(limit time.Duration, holds func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); <-tick.C {
		if holds() {
			return true
		}
	}
	return holds()
}
