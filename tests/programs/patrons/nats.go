package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// nats has publishers, subscribers that come and go, services that answer, streams that are kept with and without a
// bound, and a subscriber that does not keep up.
func nats() custom {
	kept := make(chan *line, workers)
	var ids atomic.Int64
	// with lends a connection, or opens one where each call has its own.
	with := func(do func(*line) error) error {
		var one *line
		select {
		case one = <-kept:
		default:
			opened, err := dial()
			if err != nil {
				return err
			}
			one = opened
		}
		if err := do(one); err != nil || fresh.Load() {
			one.close()
			return err
		}
		kept <- one
		return nil
	}
	publish := func(turn int) error {
		return with(func(one *line) error {
			for topic := 0; topic < 10; topic++ {
				one.publish(fmt.Sprintf("prices.%d", topic), "", strings.Repeat("p", 50+turn%500))
			}
			return one.settle()
		})
	}
	request := func(turn int) error {
		return with(func(one *line) error { return one.request("help", fmt.Sprint(ids.Add(1)), "please", nil) })
	}
	keep := func(stream string, size int) func(int) error {
		return func(turn int) error {
			return with(func(one *line) error {
				return one.request(stream, fmt.Sprint(ids.Add(1)), strings.Repeat("s", size), nil)
			})
		}
	}
	visit := func(turn int) error {
		one, err := dial()
		if err != nil {
			return err
		}
		defer one.close()
		one.subscribe("prices.*", "", 1)
		one.subscribe(fmt.Sprintf("visitors.%d", turn), "", 2)
		if err := one.settle(); err != nil {
			return err
		}
		return one.readFor(time.Duration(turn%5) * 200 * time.Millisecond)
	}
	dawdle := func(turn int) error {
		one, err := dial()
		if err != nil {
			return err
		}
		one.subscribe("prices.>", "", 1)
		// It reads nothing, and the server shuts it out in the end.
		time.AfterFunc(20*time.Second, one.close)
		return one.out.Flush()
	}
	return custom{
		store: keep("RECORDS.y", 4096),
		prepare: func() error {
			if err := help(); err != nil {
				return err
			}
			for name, more := range map[string]map[string]any{
				"BOUNDED": {"max_msgs": 1000, "storage": "file"},
				"MEMORY":  {"max_msgs": 1000, "storage": "memory"},
				"RECORDS": {"storage": "file"},
			} {
				if err := create(name, more); err != nil {
					return err
				}
			}
			return nil
		},
		habits: []habit{
			{"publish", 45, publish}, {"request", 20, request}, {"visit", 8, visit}, {"dawdle", 1, dawdle},
			{"store", 10, keep("BOUNDED.x", 512)}, {"keep", 10, keep("MEMORY.x", 512)},
			{"record", 6, keep("RECORDS.x", 512)},
		},
	}
}

// create makes a stream of JetStream.
func create(name string, more map[string]any) error {
	one, err := dial()
	if err != nil {
		return err
	}
	defer one.close()
	settings := map[string]any{"name": name, "subjects": []string{name + ".>"}, "retention": "limits"}
	for key, value := range more {
		settings[key] = value
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	var answer struct{ Error *struct{ Description string } }
	if err := one.request("$JS.API.STREAM.CREATE."+name, "create", string(text), &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return errors.New(answer.Error.Description)
	}
	return nil
}

// help answers requests for as long as we live.
func help() error {
	one, err := dial()
	if err != nil {
		return err
	}
	one.subscribe("help", "helpers", 1)
	if err := one.settle(); err != nil {
		return err
	}
	go func() {
		for {
			message, err := one.next()
			if err != nil {
				return
			}
			if message.reply != "" {
				one.publish(message.reply, "", "helped")
				one.out.Flush()
			}
		}
	}()
	return nil
}

// A line is one connection, spoken in the text protocol of docs.nats.io/reference/reference-protocols/nats-protocol.
type line struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

type message struct {
	subject, reply string
	body           []byte
}

func dial() (*line, error) {
	conn, err := net.DialTimeout("tcp", *address, patience)
	if err != nil {
		return nil, err
	}
	one := &line{conn, bufio.NewReader(conn), bufio.NewWriter(conn)}
	fmt.Fprint(one.out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n")
	return one, one.settle()
}

func (one *line) close() { one.conn.Close() }

func (one *line) publish(subject, reply, body string) {
	fmt.Fprintf(one.out, "PUB %s %s %d\r\n%s\r\n", subject, reply, len(body), body)
}

func (one *line) subscribe(subject, queue string, id int) {
	fmt.Fprintf(one.out, "SUB %s %s %d\r\n", subject, queue, id)
}

// settle waits until the server has read all that was sent.
func (one *line) settle() error {
	fmt.Fprint(one.out, "PING\r\n")
	if err := one.out.Flush(); err != nil {
		return err
	}
	one.conn.SetReadDeadline(time.Now().Add(patience))
	defer one.conn.SetReadDeadline(time.Time{})
	for {
		text, err := one.text()
		if err != nil || text == "PONG" {
			return err
		}
		if strings.HasPrefix(text, "MSG ") {
			if _, err := one.body(text); err != nil {
				return err
			}
		}
	}
}

// request asks and waits for one answer, which is read into answer unless that is nil.
func (one *line) request(subject, id, body string, answer any) error {
	inbox := "inbox." + id
	one.subscribe(inbox, "", 9)
	fmt.Fprint(one.out, "UNSUB 9 1\r\n")
	one.publish(subject, inbox, body)
	if err := one.out.Flush(); err != nil {
		return err
	}
	one.conn.SetReadDeadline(time.Now().Add(patience))
	defer one.conn.SetReadDeadline(time.Time{})
	for {
		message, err := one.next()
		if err != nil {
			return err
		}
		if message.subject != inbox {
			continue
		}
		if answer != nil {
			return json.Unmarshal(message.body, answer)
		}
		return nil
	}
}

// readFor takes what comes, for a while.
func (one *line) readFor(while time.Duration) error {
	one.conn.SetReadDeadline(time.Now().Add(while))
	for {
		if _, err := one.next(); err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				return nil
			}
			return err
		}
	}
}

// next is the next message; what the server asks in between is answered.
func (one *line) next() (message, error) {
	for {
		text, err := one.text()
		if err != nil {
			return message{}, err
		}
		if strings.HasPrefix(text, "MSG ") {
			return one.body(text)
		}
	}
}

func (one *line) text() (string, error) {
	text, err := one.in.ReadString('\n')
	text = strings.TrimSpace(text)
	switch {
	case err != nil:
		return "", err
	case text == "PING":
		fmt.Fprint(one.out, "PONG\r\n")
		return text, one.out.Flush()
	case strings.HasPrefix(text, "-ERR"):
		return "", errors.New(text)
	}
	return text, nil
}

// body reads what belongs to "MSG subject id [reply] length".
func (one *line) body(text string) (message, error) {
	words, length := strings.Fields(text), 0
	if len(words) < 4 {
		return message{}, errors.New(text)
	}
	if _, err := fmt.Sscan(words[len(words)-1], &length); err != nil || length < 0 || length > 1<<20 {
		return message{}, fmt.Errorf("%s: no length", text)
	}
	body := make([]byte, length+2)
	if _, err := io.ReadFull(one.in, body); err != nil {
		return message{}, err
	}
	message := message{subject: words[1], body: body[:length]}
	if len(words) == 5 {
		message.reply = words[3]
	}
	return message, nil
}
