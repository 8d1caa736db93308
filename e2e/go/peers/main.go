// Command peers proves that Warren's konnectivity-server and konnectivity-agent speak to peers written in Go:
// the client that kube-apiserver embeds, and an agent and a server over grpc-go that know only the two
// protobuf services. `peers matrix` runs every scenario over every pairing and prints the table.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"k8s.io/klog/v2"
)

const usage = `usage: peers COMMAND [flags]

  matrix   run every scenario over every pairing of server, agent and frontend; print the table
  agent    be an agent of a server until SIGTERM
  server   be a server for agents until SIGTERM
  hold     open one connection through a server and keep writing to it, until killed
  load     transfer or dial as fast as the client can, and print what came of it as JSON
`

func main() {
	commands := map[string]func([]string) error{
		"matrix": runMatrix,
		"agent":  runAgent,
		"server": runServer,
		"hold":   runHold,
		"load":   runLoad,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(64)
	}
	// The Go client logs what a scenario provokes on purpose; the table says what came of it.
	quiet := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(quiet)
	_ = quiet.Set("logtostderr", "false")
	_ = quiet.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
