package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	pb "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"
)

// connectMethod is the one method of AgentService; the service has no protobuf package.
const connectMethod = "/AgentService/Connect"

var connectStream = grpc.StreamDesc{StreamName: "Connect", ServerStreams: true, ClientStreams: true}

func runAgent(args []string) error {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	server := flags.String("server", "", "host:port of the server's agent listener")
	ca := flags.String("ca", "", "CA file")
	cert := flags.String("cert", "", "client certificate file")
	key := flags.String("key", "", "client key file")
	id := flags.String("id", "peer-agent", "agent id")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := tlsConfig(pair{*cert, *key}, *ca, "localhost")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	conn, err := grpc.NewClient(*server, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "agentID", *id, "agentIdentifiers", "host=localhost")
	stream, err := conn.NewStream(ctx, &connectStream, connectMethod, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	header, err := stream.Header()
	if err != nil {
		return err
	}
	if len(header.Get("serverID")) != 1 || len(header.Get("serverCount")) != 1 {
		return fmt.Errorf("want one serverID and one serverCount, got %v", header)
	}
	agent := &peerAgent{stream: stream, open: map[int64]net.Conn{}}
	err = agent.serve()
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// peerAgent answers packets as the wire's description asks; each connection reads and writes on its own goroutine.
type peerAgent struct {
	stream grpc.ClientStream
	sendMu sync.Mutex
	lastID atomic.Int64
	openMu sync.Mutex
	open   map[int64]net.Conn
}

func (a *peerAgent) send(packet *pb.Packet) {
	a.sendMu.Lock()
	defer a.sendMu.Unlock()
	_ = a.stream.SendMsg(packet)
}

func (a *peerAgent) serve() error {
	for {
		packet := &pb.Packet{}
		if err := a.stream.RecvMsg(packet); err != nil {
			return err
		}
		switch packet.Type {
		case pb.PacketType_DIAL_REQ:
			go a.answerDial(packet.GetDialRequest())
		case pb.PacketType_DATA:
			a.write(packet.GetData())
		case pb.PacketType_CLOSE_REQ:
			a.close(packet.GetCloseRequest().ConnectID)
		default:
		}
	}
}

func (a *peerAgent) answerDial(request *pb.DialRequest) {
	id := a.lastID.Add(1)
	answer := &pb.DialResponse{Random: request.Random}
	conn, err := net.DialTimeout(request.Protocol, request.Address, 5*time.Second)
	if err != nil {
		answer.Error = err.Error()
	} else {
		answer.ConnectID = id
		a.openMu.Lock()
		a.open[id] = conn
		a.openMu.Unlock()
	}
	a.send(&pb.Packet{Type: pb.PacketType_DIAL_RSP, Payload: &pb.Packet_DialResponse{DialResponse: answer}})
	if err == nil {
		a.readFrom(id, conn)
	}
}

func (a *peerAgent) readFrom(id int64, conn net.Conn) {
	for {
		buffer := make([]byte, 4096)
		n, err := conn.Read(buffer)
		if n > 0 {
			data := &pb.Data{ConnectID: id, Data: buffer[:n]}
			a.send(&pb.Packet{Type: pb.PacketType_DATA, Payload: &pb.Packet_Data{Data: data}})
		}
		if err != nil {
			a.close(id)
			return
		}
	}
}

func (a *peerAgent) write(data *pb.Data) {
	a.openMu.Lock()
	conn := a.open[data.ConnectID]
	a.openMu.Unlock()
	if conn != nil {
		_, _ = conn.Write(data.Data)
	}
}

// close ends a connection once and tells the server; a second call for the id does nothing.
func (a *peerAgent) close(id int64) {
	a.openMu.Lock()
	conn := a.open[id]
	delete(a.open, id)
	a.openMu.Unlock()
	if conn == nil {
		return
	}
	_ = conn.Close()
	a.send(&pb.Packet{Type: pb.PacketType_CLOSE_RSP, Payload: &pb.Packet_CloseResponse{CloseResponse: &pb.CloseResponse{ConnectID: id}}})
}
