package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pubsub speaks the NATS protocol: workers publishers send 512-byte messages to
// subjects orders.N.created, batch times rate messages a second among them, and twice as
// many subscribers listen with wildcards, so that each message reaches several.
// It returns when ctx has ended and every connection is closed.
func pubsub(ctx context.Context, addr string, workers, rate int) error {
	const (
		subjects = 200
		batch    = 16 // messages of one turn, and of one write
	)
	var sent, bytesSeen atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range 2 * workers {
		conn, err := dial(ctx, addr)
		if err != nil {
			return err
		}
		subscriptions := "SUB orders.> 1\r\n"
		if i%2 == 1 {
			subscriptions = ""
			for s := i; s < subjects; s += workers {
				subscriptions += fmt.Sprintf("SUB orders.%d.* %d\r\n", s, s+2)
			}
		}
		if _, err := fmt.Fprintf(conn, "CONNECT {\"verbose\":false}\r\n%s", subscriptions); err != nil {
			return err
		}
		wg.Go(func() {
			n, _ := io.Copy(io.Discard, conn) // ends with the connection, which ends with ctx
			bytesSeen.Add(n)
		})
	}
	start := time.Now()
	tick := pace(ctx, rate)
	message := strings.Repeat("x", 512)
	var pubs sync.WaitGroup
	for range workers {
		conn, err := dial(ctx, addr)
		if err != nil {
			return err
		}
		wg.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		pubs.Go(func() {
			w := bufio.NewWriter(conn)
			fmt.Fprint(w, "CONNECT {\"verbose\":false}\r\n")
			n := 0
			for range tick {
				for range batch {
					fmt.Fprintf(w, "PUB orders.%d.created %d\r\n%s\r\n", n%subjects, len(message), message)
					n++
				}
				if w.Flush() != nil {
					break // ctx has ended
				}
			}
			sent.Add(int64(n))
		})
	}
	pubs.Wait()
	wg.Wait()
	took := time.Since(start).Seconds()
	fmt.Printf("%8.0f/s published, %.1f MB/s delivered\n", float64(sent.Load())/took, float64(bytesSeen.Load())/took/1e6)
	return nil
}
