// Package wire is a driver for database/sql: a connection of it is one to a server that answers each query with a row.
package wire

import (
	"bufio"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
)

func init() { sql.Register("wire", wire{}) }

type wire struct{}

// Open dials the server.
func (wire) Open(address string) (driver.Conn, error) {
	link, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{link: link, answers: bufio.NewReader(link)}, nil
}

type conn struct {
	link    net.Conn
	answers *bufio.Reader
	// Statements as the server knows them, by number.
	prepared map[int]*stmt
	next     int
}

func (c *conn) Close() error              { return c.link.Close() }
func (c *conn) Begin() (driver.Tx, error) { return nil, errors.New("no transactions") }

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	if c.prepared == nil {
		c.prepared = map[int]*stmt{}
	}
	c.next++
	one := &stmt{conn: c, number: c.next, plan: plan(query)}
	c.prepared[one.number] = one
	return one, nil
}

// plan is what a server would send for a statement.
func plan(query string) []byte {
	plan := make([]byte, 24*1024)
	copy(plan, query)
	return plan
}

type stmt struct {
	conn   *conn
	number int
	plan   []byte
}

func (s *stmt) Close() error  { delete(s.conn.prepared, s.number); return nil }
func (s *stmt) NumInput() int { return 0 }

func (s *stmt) Exec([]driver.Value) (driver.Result, error) { return nil, errors.New("read-only") }

func (s *stmt) Query([]driver.Value) (driver.Rows, error) {
	if _, err := fmt.Fprintf(s.conn.link, "query %d\n", s.number); err != nil {
		return nil, err
	}
	answer, err := s.conn.answers.ReadString('\n')
	return &rows{answer: answer, left: 2}, err
}

type rows struct {
	answer string
	left   int
}

func (*rows) Columns() []string { return []string{"answer"} }
func (*rows) Close() error      { return nil }

func (r *rows) Next(row []driver.Value) error {
	if r.left == 0 {
		return io.EOF
	}
	r.left--
	row[0] = r.answer
	return nil
}
