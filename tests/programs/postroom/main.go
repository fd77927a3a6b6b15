// Command postroom takes letters in and traces what becomes of each, as the tracing library offers.
package main

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/opentracing/opentracing-go"
	tracelog "github.com/opentracing/opentracing-go/log"
	"github.com/uber/jaeger-client-go"

	"example.com/parcels/internal/errands"
	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

const letterBytes = 3000

func main() {
	service.Start()
	snapshot.Take()
	go errands.Run()
	tracer, closer := jaeger.NewTracer("postroom", jaeger.NewConstSampler(true), jaeger.NewNullReporter())
	defer closer.Close()
	opentracing.SetGlobalTracer(tracer)
	inbox := make(chan io.Reader)
	go consume(inbox)
	service.Pace(func() { inbox <- letter() })
}

func consume(inbox <-chan io.Reader) {
	day := context.Background()
	number := 0
	for letter := range inbox {
		number++
		ctx, err := deliver(day, number, letter)
		if err != nil {
			log.Print(err)
			continue
		}
		if service.Round() {
			day = ctx
			service.Held.Add(1)
		}
	}
}

func deliver(ctx context.Context, number int, letter io.Reader) (context.Context, error) {
	span, ctx := opentracing.StartSpanFromContext(ctx, "deliver")
	defer span.Finish()
	body, err := io.ReadAll(letter)
	if err != nil {
		return ctx, err
	}
	span.LogFields(tracelog.Int("number", number), tracelog.Object("letter", body))
	for _, step := range []string{"sorted", "stamped", "handed over"} {
		span.LogKV("event", step, "to", fmt.Sprintf("box %d", number%100))
	}
	return ctx, nil
}

// letter comes in pieces, as from a socket.
func letter() io.Reader {
	reader, writer := io.Pipe()
	go func() {
		piece := make([]byte, letterBytes/3)
		for written := 0; written < letterBytes; written += len(piece) {
			if _, err := writer.Write(piece); err != nil {
				return
			}
		}
		writer.Close()
	}()
	return reader
}
