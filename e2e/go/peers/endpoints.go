package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
)

// endpoints are the places that agents dial: the far end of every scenario, all on loopback.
type endpoints struct {
	echo, hash, source string // addresses
	refused, blackHole string
	stuck              string       // accepts and never reads
	open               atomic.Int64 // connections the echo endpoint holds now
	fillers            []int        // descriptors that keep the black hole's accept queue full
}

func startEndpoints() (*endpoints, error) {
	e := &endpoints{}
	var err error
	if e.echo, err = serve(e.serveEcho); err != nil {
		return nil, err
	}
	if e.hash, err = serve(serveHash); err != nil {
		return nil, err
	}
	if e.source, err = serve(serveSource); err != nil {
		return nil, err
	}
	if e.stuck, err = serve(func(net.Conn) { select {} }); err != nil {
		return nil, err
	}
	if e.refused, err = refusedAddress(); err != nil {
		return nil, err
	}
	return e, e.digBlackHole()
}

func serve(handle func(net.Conn)) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); handle(conn) }()
		}
	}()
	return listener.Addr().String(), nil
}

func (e *endpoints) serveEcho(conn net.Conn) {
	e.open.Add(1)
	defer e.open.Add(-1)
	_, _ = io.Copy(conn, conn)
}

// serveHash reads an 8-byte length and that many bytes, and answers their SHA-256.
func serveHash(conn net.Conn) {
	length, err := readLength(conn)
	if err != nil {
		return
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, conn, length); err == nil {
		_, _ = conn.Write(sum.Sum(nil))
	}
}

// serveSource reads an 8-byte length and answers that many random bytes and their SHA-256.
func serveSource(conn net.Conn) {
	length, err := readLength(conn)
	if err != nil {
		return
	}
	if sum, err := sendRandom(conn, length); err == nil {
		_, _ = conn.Write(sum.Sum(nil))
	}
}

func readLength(from io.Reader) (int64, error) {
	var head [8]byte
	_, err := io.ReadFull(from, head[:])
	return int64(binary.BigEndian.Uint64(head[:])), err
}

// sendRandom writes length bytes in 16 KiB pieces and returns the hash over them.
func sendRandom(to io.Writer, length int64) (hash.Hash, error) {
	source, sum := rand.NewChaCha8([32]byte{byte(rand.Uint32()), byte(rand.Uint32())}), sha256.New()
	buffer := make([]byte, 16<<10)
	for length > 0 {
		piece := buffer[:min(length, int64(len(buffer)))]
		_, _ = source.Read(piece)
		sum.Write(piece)
		if _, err := to.Write(piece); err != nil {
			return nil, err
		}
		length -= int64(len(piece))
	}
	return sum, nil
}

func refusedAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// digBlackHole makes an address whose SYNs are dropped: a listener nobody accepts from, its queue full.
func (e *endpoints) digBlackHole() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	address := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := syscall.Bind(fd, address); err != nil {
		return err
	}
	if err := syscall.Listen(fd, 0); err != nil {
		return err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return err
	}
	port := bound.(*syscall.SockaddrInet4).Port
	e.fillers = append(e.fillers, fd)
	for range 4 {
		filler, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := syscall.Connect(filler, bound); err != nil && err != syscall.EINPROGRESS {
			return err
		}
		e.fillers = append(e.fillers, filler)
	}
	e.blackHole = fmt.Sprintf("127.0.0.1:%d", port)
	return nil
}
