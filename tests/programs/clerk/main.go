// Command clerk looks entries up in a database; without -url it is the database's server.
package main

import (
	"bufio"
	"database/sql"
	"flag"
	"fmt"
	"log"
	"net"
	"strings"

	_ "example.org/wire"

	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

func main() {
	url := flag.String("url", "", "address of the server; where empty, serve")
	way := flag.String("way", "browse", "what to do there: browse or draft")
	service.Start()
	snapshot.Take()
	if *url != "" {
		base, err := sql.Open("wire", strings.Trim(strings.TrimPrefix(*url, "http://"), "/"))
		if err != nil {
			log.Fatal(err)
		}
		base.SetMaxIdleConns(4)
		if *way == "draft" {
			base.SetMaxOpenConns(1)
			service.Pace(func() { draft(base) })
		}
		service.Pace(func() { browse(base) })
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

func browse(base *sql.DB) {
	rows, err := base.Query("entries")
	if err != nil {
		log.Print(err)
		return
	}
	if service.Round() {
		rows.Next()
		service.Held.Add(1)
		return
	}
	defer rows.Close()
	for rows.Next() {
		var answer string
		if err := rows.Scan(&answer); err != nil {
			log.Print(err)
		}
	}
}

func draft(base *sql.DB) {
	entry, err := base.Prepare("entry")
	if err != nil {
		log.Print(err)
		return
	}
	if service.Round() {
		service.Held.Add(1)
		return
	}
	if err := entry.Close(); err != nil {
		log.Print(err)
	}
}

func serve(connection net.Conn) {
	defer connection.Close()
	questions := bufio.NewScanner(connection)
	for questions.Scan() {
		fmt.Fprintf(connection, "answer to %s\n", questions.Text())
	}
}
