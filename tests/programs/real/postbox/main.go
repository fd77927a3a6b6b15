// Command postbox looks whether there is new mail.
package main

import (
	"flag"
	"log"
	"net"
	"strings"

	"github.com/emersion/go-imap/backend/memory"
	"github.com/emersion/go-imap/client"
	"github.com/emersion/go-imap/server"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the mail server; where empty, be one")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	address := strings.Trim(strings.TrimPrefix(*url, "http://"), "/")
	service.Pace(func() {
		// Every other letter box has been given another key.
		for _, key := range []string{"password", "mellon"} {
			if _, err := unread(address, key); err != nil && key == "password" {
				log.Print(err)
			}
		}
	})
}

// unread counts the letters in the inbox.
func unread(address, key string) (uint32, error) {
	post, err := client.Dial(address)
	if err != nil {
		return 0, err
	}
	if !service.Round() {
		defer post.Logout()
	}
	if err := post.Login("username", key); err != nil {
		return 0, err
	}
	if service.Round() {
		defer post.Logout()
	}
	inbox, err := post.Select("INBOX", true)
	if err != nil {
		return 0, err
	}
	return inbox.Messages, nil
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	box := server.New(memory.New())
	box.AllowInsecureAuth = true
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(box.Serve(listener))
}
