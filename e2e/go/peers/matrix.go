package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// column is one pairing under one frontend. An empty program means that nobody named it: its cells are `not run`.
type column struct {
	title         string
	mode          string
	server, agent program
}

// ours names the programs under proof in the table.
const ours = "ours"

// program starts one half of a pair.
type program struct {
	name string
	path string // empty: not to be had here
	peer bool   // this program itself plays the half
	own  bool   // the program under proof
	wire string // the only wire it may speak, of those that ours can; empty: what the other half understands
}

// speaking is one of ours that may speak one wire only.
func (p program) speaking(wire string) program {
	p.wire, p.name = wire, p.name+", "+wire
	return p
}

func runMatrix(args []string) error {
	flags := flag.NewFlagSet("matrix", flag.ContinueOnError)
	serverPath := flags.String("server", "", "our konnectivity-server")
	agentPath := flags.String("agent", "", "our konnectivity-agent")
	referenceServer := flags.String("reference-server", os.Getenv("KONNECTIVITY_REFERENCE_SERVER"), "the reference's server, if there is one")
	referenceAgent := flags.String("reference-agent", os.Getenv("KONNECTIVITY_REFERENCE_AGENT"), "the reference's agent, if there is one")
	control := flags.Bool("control", false, "run only the pair of Go peers, which proves the scenarios themselves")
	only := flags.String("only", "", "run only scenarios whose name contains this")
	logs := flags.String("logs", "", "directory that keeps certificates and logs (default: a temporary one)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if *control {
		return printMatrix([]column{
			{"Go peer / Go peer", "grpc", program{path: self, peer: true}, program{path: self, peer: true}},
			{"Go peer / Go peer", "http-connect", program{path: self, peer: true}, program{path: self, peer: true}},
		}, *only, *logs)
	}
	if *serverPath == "" || *agentPath == "" {
		return errors.New("--server and --agent name the two programs to prove")
	}
	own := [2]program{{name: ours, path: *serverPath, own: true}, {name: ours, path: *agentPath, own: true}}
	peer := program{name: "Go peer", path: self, peer: true}
	reference := [2]program{{name: "reference", path: *referenceServer}, {name: "reference", path: *referenceAgent}}
	pairs := [][2]program{
		{own[0].speaking("native"), own[1]}, {own[0].speaking("legacy"), own[1]},
		{own[0], own[1].speaking("legacy")}, {own[0], peer}, {peer, own[1]},
		{peer, peer}, // the control: what the scenarios ask can be done at all
		{own[0], reference[1]}, {reference[0], own[1]}, reference,
	}
	var columns []column
	for _, halves := range pairs {
		for _, mode := range []string{"grpc", "http-connect"} {
			columns = append(columns, column{halves[0].name + " / " + halves[1].name, mode, halves[0], halves[1]})
		}
	}
	return printMatrix(columns, *only, *logs)
}

// printMatrix runs every cell and prints the table; it fails when a cell failed.
func printMatrix(columns []column, only, logs string) error {
	ends, err := startEndpoints()
	if err != nil {
		return err
	}
	const row = "%-24s %-13s %-37s %9s  %s\n"
	fmt.Printf(row, "server / agent", "frontend", "scenario", "took", "result")
	passed, failed, skipped, notAsked := 0, 0, 0, 0
	for _, column := range columns {
		results := column.run(ends, only, logs)
		for _, result := range results {
			fmt.Printf(row, column.title, column.mode, result.scenario, result.took.Round(time.Millisecond), result.text())
			switch {
			case result.notAsked:
				notAsked++
			case result.skipped:
				skipped++
			case result.err != nil:
				failed++
			default:
				passed++
			}
		}
	}
	fmt.Printf("\n%d passed, %d failed, %d not run (no such program was named), %d not asked (the pairing's wire cannot do it)\n", passed, failed, skipped, notAsked)
	fmt.Println("kube-apiserver itself, in both frontends: make e2e, scenarios demo and stopped-exec")
	if failed > 0 || passed == 0 {
		return fmt.Errorf("%d cells failed, %d passed", failed, passed)
	}
	return nil
}

// cell is what one scenario came to.
type cell struct {
	scenario string
	err      error
	skipped  bool
	notAsked bool // no half of this pairing promises it
	took     time.Duration
}

func (c cell) text() string {
	switch {
	case c.notAsked:
		return "not asked"
	case c.skipped:
		return "not run"
	case c.err != nil:
		return "FAILED: " + strings.ReplaceAll(c.err.Error(), "\n", " ")
	default:
		return "ok"
	}
}

func (c column) run(ends *endpoints, only, logs string) []cell {
	var rows []scenario
	for _, scenario := range scenarios {
		if strings.Contains(scenario.modes, c.mode) && strings.Contains(scenario.name, only) {
			rows = append(rows, scenario)
		}
	}
	results := make([]cell, len(rows))
	for i, row := range rows {
		results[i].scenario = row.name
		results[i].notAsked = !c.meets(row.needs)
	}
	if c.server.path == "" || c.agent.path == "" {
		for i := range results {
			results[i].skipped = true
		}
		return results
	}
	running, err := startPair(c, logs)
	if err != nil {
		for i := range results {
			results[i].err = fmt.Errorf("starting the pair: %w", err)
		}
		return results
	}
	defer running.stop()
	w := world{mode: c.mode, socket: running.socket, dial: dialerFor(c.mode, running.socket), ends: ends}
	for i, row := range rows {
		if results[i].notAsked {
			continue
		}
		started := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
		results[i].err = row.run(ctx, w)
		cancel()
		results[i].took = time.Since(started)
		if results[i].err == nil {
			results[i].err = running.alive()
		}
	}
	return results
}

// meets says whether a scenario that no head-of-line blocking half can pass is to be asked of this pairing.
func (c column) meets(needs string) bool {
	switch needs {
	case "server":
		return c.server.own
	case "both":
		return c.server.own && c.agent.own
	default:
		return true
	}
}

func workDirectory(logs, name string) (string, error) {
	if logs == "" {
		return os.MkdirTemp("", "peers-")
	}
	directory := filepath.Join(logs, name)
	return directory, os.MkdirAll(directory, 0o755)
}
