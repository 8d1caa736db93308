package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/signal"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	pb "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"
)

func runServer(args []string) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	mode := flags.String("mode", "grpc", "grpc or http-connect")
	uds := flags.String("uds", "", "path of the frontend's socket")
	listen := flags.String("agent-listen", "127.0.0.1:0", "where agents dial in")
	ca := flags.String("ca", "", "CA file for agents")
	cert := flags.String("cert", "", "serving certificate file")
	key := flags.String("key", "", "serving key file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := tlsConfig(pair{*cert, *key}, *ca, "")
	if err != nil {
		return err
	}
	server := &peerServer{pending: map[int64]*frontend{}, open: map[int64]*frontend{}}
	agents, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	agentService := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	agentService.RegisterService(&agentServiceDesc, server)
	go func() { _ = agentService.Serve(agents) }()
	frontends, err := net.Listen("unix", *uds)
	if err != nil {
		return err
	}
	if *mode == "grpc" {
		proxyService := grpc.NewServer()
		pb.RegisterProxyServiceServer(proxyService, server)
		go func() { _ = proxyService.Serve(frontends) }()
	} else {
		go func() { _ = http.Serve(frontends, http.HandlerFunc(server.serveConnect)) }()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	<-ctx.Done()
	return nil
}

// agentServiceDesc is AgentService written by hand: one bidirectional stream of packets.
var agentServiceDesc = grpc.ServiceDesc{
	ServiceName: "AgentService", HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{StreamName: "Connect", ServerStreams: true, ClientStreams: true,
		Handler: func(server any, stream grpc.ServerStream) error { return server.(*peerServer).serveAgent(stream) }}},
}

// frontend is one client that waits for a dial or holds a connection.
type frontend struct {
	deliver func(*pb.Packet)
	id      int64 // connection id, once open
}

// peerServer knows one agent, the newest, and routes packets between it and the frontends.
type peerServer struct {
	pb.UnimplementedProxyServiceServer
	mu            sync.Mutex
	agent         grpc.ServerStream
	sendMu        sync.Mutex
	pending, open map[int64]*frontend
}

func (s *peerServer) serveAgent(stream grpc.ServerStream) error {
	incoming, _ := metadata.FromIncomingContext(stream.Context())
	if ids := incoming.Get("agentID"); len(ids) != 1 {
		return fmt.Errorf("expected one agent ID in the context, got %v", ids)
	}
	if err := stream.SendHeader(metadata.Pairs("serverID", "peer-server", "serverCount", "1")); err != nil {
		return err
	}
	s.mu.Lock()
	s.agent = stream
	s.mu.Unlock()
	for {
		packet := &pb.Packet{}
		if err := stream.RecvMsg(packet); err != nil {
			return err
		}
		s.route(packet)
	}
}

// route hands a packet of the agent to the frontend that it is for.
func (s *peerServer) route(packet *pb.Packet) {
	s.mu.Lock()
	var to *frontend
	switch packet.Type {
	case pb.PacketType_DIAL_RSP:
		answer := packet.GetDialResponse()
		to = s.pending[answer.Random]
		delete(s.pending, answer.Random)
		if to != nil && answer.Error == "" {
			to.id = answer.ConnectID
			s.open[answer.ConnectID] = to
		}
	case pb.PacketType_DATA:
		to = s.open[packet.GetData().ConnectID]
	case pb.PacketType_CLOSE_RSP:
		id := packet.GetCloseResponse().ConnectID
		to = s.open[id]
		delete(s.open, id)
	default:
	}
	s.mu.Unlock()
	if to != nil {
		to.deliver(packet)
	} else if packet.Type == pb.PacketType_DIAL_RSP {
		s.closeConnection(packet.GetDialResponse().ConnectID) // nobody waits for it any more
	}
}

func (s *peerServer) toAgent(packet *pb.Packet) error {
	s.mu.Lock()
	agent := s.agent
	s.mu.Unlock()
	if agent == nil {
		return errors.New("no agent")
	}
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	return agent.SendMsg(packet)
}

func (s *peerServer) dial(request *pb.DialRequest, from *frontend) error {
	s.mu.Lock()
	s.pending[request.Random] = from
	s.mu.Unlock()
	return s.toAgent(&pb.Packet{Type: pb.PacketType_DIAL_REQ, Payload: &pb.Packet_DialRequest{DialRequest: request}})
}

func (s *peerServer) closeConnection(id int64) {
	if id != 0 {
		_ = s.toAgent(&pb.Packet{Type: pb.PacketType_CLOSE_REQ, Payload: &pb.Packet_CloseRequest{CloseRequest: &pb.CloseRequest{ConnectID: id}}})
	}
}

// Proxy serves one gRPC frontend stream, which carries one connection.
func (s *peerServer) Proxy(stream pb.ProxyService_ProxyServer) error {
	var sendMu sync.Mutex
	self := &frontend{deliver: func(packet *pb.Packet) {
		sendMu.Lock()
		defer sendMu.Unlock()
		_ = stream.Send(packet)
	}}
	defer func() {
		s.mu.Lock()
		id := self.id
		still := s.open[id] == self
		for random, waiting := range s.pending {
			if waiting == self {
				delete(s.pending, random)
			}
		}
		s.mu.Unlock()
		if still {
			s.closeConnection(id)
		}
	}()
	for {
		packet, err := stream.Recv()
		if err != nil {
			return nil
		}
		if packet.Type == pb.PacketType_DIAL_REQ {
			err = s.dial(packet.GetDialRequest(), self)
		} else {
			err = s.toAgent(packet)
		}
		if err != nil {
			return err
		}
	}
}

// serveConnect serves one CONNECT: answer, then relay until either side ends.
func (s *peerServer) serveConnect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	answers := make(chan *pb.Packet, 1)
	var conn net.Conn
	ready := make(chan struct{})
	self := &frontend{deliver: func(packet *pb.Packet) {
		if packet.Type == pb.PacketType_DIAL_RSP {
			answers <- packet
			return
		}
		<-ready
		if packet.Type == pb.PacketType_DATA {
			_, _ = conn.Write(packet.GetData().Data)
		} else {
			_ = conn.Close()
		}
	}}
	if err := s.dial(&pb.DialRequest{Protocol: "tcp", Address: r.Host, Random: rand.Int64()}, self); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer := (<-answers).GetDialResponse()
	if answer.Error != "" {
		http.Error(w, answer.Error, connectStatus(answer.Error))
		return
	}
	hijacked, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	conn = hijacked
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection Established\r\n\r\n")
	close(ready)
	s.relay(buffered.Reader, answer.ConnectID)
	_ = conn.Close()
}

func (s *peerServer) relay(from *bufio.Reader, id int64) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			data := &pb.Data{ConnectID: id, Data: append([]byte(nil), buffer[:n]...)}
			if s.toAgent(&pb.Packet{Type: pb.PacketType_DATA, Payload: &pb.Packet_Data{Data: data}}) != nil {
				return
			}
		}
		if err != nil {
			s.closeConnection(id)
			return
		}
	}
}
