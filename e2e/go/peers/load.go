package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is what `make bench` asks of the Go client; flags and lines are those of the bench's own loads.
type load struct {
	dial      dialer
	targets   []string
	next      atomic.Uint64
	warmUp    time.Duration
	window    time.Duration
	direction string
	counter   string
	parallel  int
	out       *json.Encoder
}

// runLoad runs `peers load transfer` or `peers load dials` and prints a line when it is under way and one at its end.
func runLoad(args []string) error {
	if len(args) == 0 {
		return errors.New("load: say transfer or dials")
	}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	mode := flags.String("mode", "grpc", "grpc or http-connect")
	socket := flags.String("socket", "", "path of the server's socket")
	targets := flags.String("targets", "", "host:port,... to reach, in turn")
	warmUp := flags.Int("warm-up", 0, "milliseconds before the window")
	window := flags.Int("window", 1000, "milliseconds of the window")
	l := &load{out: json.NewEncoder(os.Stdout)}
	flags.StringVar(&l.direction, "direction", "down", "up or down")
	flags.StringVar(&l.counter, "counter", "", "who says how many bytes arrived when they go up")
	flags.IntVar(&l.parallel, "parallel", 1, "dials at once")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	l.dial, l.targets = dialerFor(*mode, *socket), strings.Split(*targets, ",")
	l.warmUp, l.window = time.Duration(*warmUp)*time.Millisecond, time.Duration(*window)*time.Millisecond
	if err := l.untilOpen(); err != nil {
		return err
	}
	switch args[0] {
	case "transfer":
		return l.transfer()
	case "dials":
		return l.dials()
	default:
		return fmt.Errorf("load %s: say transfer or dials", args[0])
	}
}

// open dials the next target.
func (l *load) open() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return l.dial(ctx, l.targets[l.next.Add(1)%uint64(len(l.targets))])
}

// untilOpen waits until the agent has found the server.
func (l *load) untilOpen() error {
	var last error
	opened := eventually(30*time.Second, func() bool {
		var conn net.Conn
		if conn, last = l.open(); last != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	if opened {
		return nil
	}
	return fmt.Errorf("no connection within 30 s: %w", last)
}

// transfer sends or receives without end and prints what arrived within the window.
func (l *load) transfer() error {
	conn, err := l.open()
	if err != nil {
		return err
	}
	var taken atomic.Int64
	arrived := func() (int64, error) { return taken.Load(), nil }
	if l.direction == "up" {
		counter, err := net.Dial("tcp", l.counter)
		if err != nil {
			return err
		}
		defer counter.Close()
		arrived = func() (count int64, err error) {
			if _, err = counter.Write([]byte("?")); err == nil {
				err = binary.Read(counter, binary.BigEndian, &count)
			}
			return count, err
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- move(conn, l.direction, &taken) }()
	if err := l.out.Encode(map[string]int{"failed": 0}); err != nil {
		return err
	}
	time.Sleep(l.warmUp)
	started := time.Now()
	before, err := arrived()
	if err != nil {
		return err
	}
	select {
	case err := <-ended:
		return fmt.Errorf("a transfer without an end has ended: %w", err)
	case <-time.After(l.window):
	}
	seconds := time.Since(started).Seconds()
	after, err := arrived()
	if err != nil {
		return err
	}
	return l.out.Encode(map[string]any{"bytes": after - before, "seconds": seconds, "cpu_seconds": 0})
}

func move(conn net.Conn, direction string, taken *atomic.Int64) error {
	if direction == "up" {
		piece := make([]byte, 16<<10)
		for {
			if _, err := conn.Write(piece); err != nil {
				return err
			}
		}
	}
	if _, err := conn.Write([]byte("!")); err != nil {
		return err
	}
	piece := make([]byte, 64<<10)
	for {
		count, err := conn.Read(piece)
		if err != nil {
			return err
		}
		taken.Add(int64(count))
	}
}

// dials opens connections that carry a byte there and back, and prints how many a second did.
func (l *load) dials() error {
	if err := l.out.Encode(map[string]int{"failed": 0}); err != nil {
		return err
	}
	var lock sync.Mutex
	var took []float64
	var failed int
	var first *string
	var workers sync.WaitGroup
	started := time.Now()
	for range l.parallel {
		workers.Go(func() {
			for time.Since(started) < l.window {
				sample, err := l.once()
				lock.Lock()
				if err == nil {
					took = append(took, sample)
				} else if failed++; first == nil {
					text := err.Error()
					first = &text
				}
				lock.Unlock()
			}
		})
	}
	workers.Wait()
	result := map[string]any{"rate": float64(len(took)) / time.Since(started).Seconds(), "failed": failed,
		"first_failure": first, "latencies": nil}
	sort.Float64s(took)
	if count := len(took); count > 0 {
		result["latencies"] = map[string]float64{"p50": took[(count-1)*50/100], "p99": took[(count-1)*99/100]}
	}
	return l.out.Encode(result)
}

// once lives one connection's life and says how many microseconds its dial took.
func (l *load) once() (float64, error) {
	begun := time.Now()
	conn, err := l.open()
	if err != nil {
		return 0, err
	}
	took := float64(time.Since(begun)) / float64(time.Microsecond)
	err = within(10*time.Second, "echo", func() error {
		if _, err := conn.Write([]byte("!")); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	})
	go conn.Close() // the Go client waits up to 10 s for an answer
	return took, err
}
