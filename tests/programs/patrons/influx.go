package main

import (
	"bytes"
	"fmt"
	"net/url"
	"time"
)

// influx takes the measurements of fifty hosts in batches, as collectors send them, answers dashboards, and drops
// and makes databases now and then.
func influx() custom {
	write := "http://" + *address + "/write?db=load&precision=ns"
	query := func(text string) error {
		return post("http://"+*address+"/query?db=load&q="+url.QueryEscape(text), "", nil)
	}
	batch := func(turn int) error {
		var lines bytes.Buffer
		now := time.Now().UnixNano()
		for host := 0; host < 50; host++ {
			fmt.Fprintf(&lines, "cpu,host=h%02d,zone=z%d used=%d.5,system=%d.25,idle=%d %d\n",
				host, host%5, turn%60, turn%30, 100-turn%90, now+int64(host))
		}
		return post(write, "text/plain", lines.Bytes())
	}
	// What a container writes has its name in it, and each container has another.
	containers := func(turn, many int) error {
		var lines bytes.Buffer
		now := time.Now().UnixNano()
		for instance := 0; instance < many; instance++ {
			fmt.Fprintf(&lines, "container,name=c%08d-%d memory=%di %d\n", turn, instance, turn*1024, now)
		}
		return post(write, "text/plain", lines.Bytes())
	}
	container := func(turn int) error { return containers(turn, 5) }
	asked := []string{
		"SELECT mean(used) FROM cpu WHERE time > now() - 1m GROUP BY time(5s), host",
		"SELECT max(system) FROM cpu WHERE time > now() - 5m GROUP BY zone",
		"SELECT last(idle) FROM cpu GROUP BY host",
		"SHOW TAG VALUES FROM cpu WITH KEY = host",
		"SHOW MEASUREMENTS",
	}
	dashboard := func(turn int) error { return query(asked[turn%len(asked)]) }
	admin := func(turn int) error {
		name := fmt.Sprintf("scratch%d", turn)
		if err := query("CREATE DATABASE " + name); err != nil {
			return err
		}
		return query("DROP DATABASE " + name)
	}
	return custom{
		store:   func(turn int) error { return containers(turn, 3) },
		prepare: func() error { return query("CREATE DATABASE load") },
		habits: []habit{
			{"batch", 60, batch}, {"container", 10, container}, {"dashboard", 29, dashboard}, {"admin", 1, admin},
		},
	}
}
