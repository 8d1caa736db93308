package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// running is a server and an agent that found each other, with what is needed to stop them.
type running struct {
	socket        string
	server, agent *child
}

// child is a program we started; done is closed when it has ended.
type child struct {
	command *exec.Cmd
	log     string
	done    chan struct{}
}

func startPair(c column, logs string) (*running, error) {
	name := strings.NewReplacer(" / ", "-", ", ", "-", " ", "-").Replace(c.title + "-" + c.mode)
	directory, err := workDirectory(logs, name)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority(directory)
	if err != nil {
		return nil, err
	}
	serverLeaf, err := ca.leaf("server")
	if err != nil {
		return nil, err
	}
	agentLeaf, err := ca.leaf("agent")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	// Not in the directory: a socket's path may not be longer than 107 bytes.
	socketDirectory, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return nil, err
	}
	pair := &running{socket: filepath.Join(socketDirectory, "s.sock")}
	pair.server, err = start(directory, "server", c.server.path, c.server.serverArgs(c.mode, pair.socket, ca.caFile(), serverLeaf, ports))
	if err != nil {
		return nil, err
	}
	pair.agent, err = start(directory, "agent", c.agent.path, c.agent.agentArgs(ca.caFile(), agentLeaf, ports))
	if err != nil {
		pair.stop()
		return nil, err
	}
	if err := pair.ready(c.mode); err != nil {
		pair.stop()
		return nil, err
	}
	return pair, nil
}

// serverArgs gives the flags that the reference documents, to ours and to the reference alike.
func (p program) serverArgs(mode, socket, ca string, leaf pair, ports []int) []string {
	if p.peer {
		return []string{"server", "--mode", mode, "--uds", socket, "--agent-listen", fmt.Sprintf("127.0.0.1:%d", ports[0]),
			"--ca", ca, "--cert", leaf.cert, "--key", leaf.key}
	}
	return append(p.wireArgs(), "--mode="+mode, "--uds-name="+socket, "--delete-existing-uds-file=true", "--server-port=0",
		"--cluster-cert="+leaf.cert, "--cluster-key="+leaf.key, "--cluster-ca-cert="+ca,
		"--agent-bind-address=127.0.0.1", "--agent-port="+strconv.Itoa(ports[0]),
		"--admin-port="+strconv.Itoa(ports[1]), "--health-port="+strconv.Itoa(ports[2]), "--server-id=matrix")
}

// wireArgs names the wire to ours where the pairing says which; the reference knows no such flag.
func (p program) wireArgs() []string {
	if p.wire == "" {
		return nil
	}
	return []string{"--tunnel-mode=" + p.wire}
}

func (p program) agentArgs(ca string, leaf pair, ports []int) []string {
	if p.peer {
		return []string{"agent", "--server", fmt.Sprintf("127.0.0.1:%d", ports[0]), "--ca", ca, "--cert", leaf.cert, "--key", leaf.key}
	}
	return append(p.wireArgs(), "--ca-cert="+ca, "--agent-cert="+leaf.cert, "--agent-key="+leaf.key,
		"--proxy-server-host=127.0.0.1", "--proxy-server-port="+strconv.Itoa(ports[0]),
		"--admin-server-port="+strconv.Itoa(ports[3]), "--health-server-port="+strconv.Itoa(ports[4]), "--agent-id=matrix")
}

func start(directory, name, path string, args []string) (*child, error) {
	log := filepath.Join(directory, name+".log")
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	command := exec.Command(path, args...)
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, err
	}
	c := &child{command: command, log: log, done: make(chan struct{})}
	go func() { _ = command.Wait(); close(c.done) }()
	return c, nil
}

// ready waits until an echo passes: the agent has found the server.
func (r *running) ready(mode string) error {
	address, err := serve(func(conn net.Conn) { _, _ = conn.Write([]byte("!")) })
	if err != nil {
		return err
	}
	dial := dialerFor(mode, r.socket)
	last := errors.New("no dial was tried")
	opened := eventually(30*time.Second, func() bool {
		if r.alive() != nil {
			return true
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var conn net.Conn
		if conn, last = dial(ctx, address); last != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	if err := r.alive(); err != nil {
		return err
	}
	if !opened {
		return fmt.Errorf("no connection within 30 s: %w", last)
	}
	return nil
}

// alive says which half has ended, if one has.
func (r *running) alive() error {
	for _, c := range []*child{r.server, r.agent} {
		select {
		case <-c.done:
			tail, _ := os.ReadFile(c.log)
			return fmt.Errorf("%s ended (%s): %s", filepath.Base(c.log), c.command.ProcessState, lastLines(string(tail), 5))
		default:
		}
	}
	return nil
}

func (r *running) stop() {
	for _, c := range []*child{r.agent, r.server} {
		if c == nil {
			continue
		}
		_ = c.command.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.done:
		case <-time.After(10 * time.Second):
			_ = c.command.Process.Kill()
			<-c.done
		}
	}
	_ = os.RemoveAll(filepath.Dir(r.socket))
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], " | ")
}

// freePorts finds ports that the reference accepts: neither reserved nor, by its rule, above 49151.
func freePorts(count int) ([]int, error) {
	var ports []int
	for port := 20000 + os.Getpid()%20000; port < 49000 && len(ports) < count; port++ {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = listener.Close()
		ports = append(ports, port)
	}
	if len(ports) < count {
		return nil, errors.New("no free ports between 20000 and 49000")
	}
	return ports, nil
}
