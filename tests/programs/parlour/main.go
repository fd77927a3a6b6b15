// Command parlour asks a key-value server for the hour, over a pool of connections; without -url it is that server.
package main

import (
	"bufio"
	"flag"
	"io"
	"log"
	"net"
	"strings"

	"github.com/gomodule/redigo/redis"

	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the server; where empty, serve")
	service.Start()
	if *url != "" {
		address := strings.Trim(strings.TrimPrefix(*url, "http://"), "/")
		pool := &redis.Pool{
			MaxIdle: 8,
			Dial:    func() (redis.Conn, error) { return redis.Dial("tcp", address) },
		}
		service.Pace(func() { hour(pool) })
	}
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
		go serve(connection)
	}
}

func hour(pool *redis.Pool) {
	connection := pool.Get()
	if _, err := redis.String(connection.Do("GET", "hour")); err != nil {
		log.Print(err)
	}
	if service.Round() {
		service.Held.Add(1)
		return
	}
	connection.Close()
}

// serve answers each command with the same value, whatever it says.
func serve(connection net.Conn) {
	defer connection.Close()
	lines := bufio.NewReader(connection)
	for {
		header, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		// An array of bulk strings, two lines each.
		for parts := 2 * int(header[1]-'0'); parts > 0; parts-- {
			if _, err := lines.ReadString('\n'); err != nil {
				return
			}
		}
		if _, err := io.WriteString(connection, "$4\r\nnoon\r\n"); err != nil {
			return
		}
	}
}
