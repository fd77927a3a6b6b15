// Command gatekeeper asks other gates for the password of the day.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"flag"
	"io"
	"log"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the other gate; where empty, be it")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	address := strings.Trim(strings.TrimPrefix(*url, "http://"), "/")
	service.Pace(func() {
		if _, err := password(address); err != nil {
			log.Print(err)
		}
	})
}

// password asks one gate.
func password(address string) (string, error) {
	settings := &ssh.ClientConfig{User: "guard", HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: time.Second}
	gate, err := ssh.Dial("tcp", address, settings)
	if err != nil {
		return "", err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer gate.Close()
	}
	session, err := gate.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	word, err := session.Output("password")
	return string(word), err
}

func serve() {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		log.Fatal(err)
	}
	settings := &ssh.ServerConfig{NoClientAuth: true}
	settings.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go admit(connection, settings)
	}
}

func admit(connection net.Conn, settings *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(connection, settings)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range asked {
				request.Reply(true, nil)
				io.WriteString(channel, "swordfish")
				channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
				channel.Close()
			}
		}()
	}
}
