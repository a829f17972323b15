package sfredis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// quiet is how long the channel may be silent before the connection is tried,
// and how long it then has to answer.
const quiet = 5 * time.Second

var errSilent = errors.New("the connection does not answer")

// Watch implements [sfcache.Remote]. That a connection is dead without having
// been closed is noticed within 10 seconds.
//
// It returns when ctx ends even if the client is busy connecting to a Redis
// that does not answer; what that takes ends with the client's own timeouts.
func (r *Remote) Watch(ctx context.Context, changed func(origin string, keys []string), missed func()) error {
	if r.channel == "" {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	events := make(chan any)
	go func() { cancel(r.receive(ctx, cancel, events)) }() // ends with ctx
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("sfredis: watch: %w", context.Cause(ctx))
		case e := <-events:
			switch e := e.(type) {
			case *redis.Subscription: // the first time, and when the client has connected again
				missed()
			case *redis.Message:
				if origin, keys, ok := openMessage(e.Payload); ok {
					changed(origin, keys)
				} else {
					missed() // it may be of a version to come: something was written
				}
			}
		}
	}
}

// receive sends on events what comes through the channel, until ctx ends or
// the client cannot connect. broken ends ctx.
func (r *Remote) receive(ctx context.Context, broken context.CancelCauseFunc, events chan<- any) error {
	sub := r.client.Subscribe(ctx, r.channel)
	defer func() { _ = sub.Close() }()
	// Closing is what ends a Receive that waits.
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()
	var heard atomic.Bool
	go func() { // ends with ctx
		if err := ping(ctx, sub, r.quiet, &heard); err != nil {
			broken(err)
		}
	}()
	for again := false; ; {
		// No timeout here: one that came in the middle of a message would leave
		// half of it in the connection.
		got, err := sub.Receive(ctx)
		if err != nil {
			if again || ctx.Err() != nil {
				return err
			}
			again = true // the client connects again at once
			continue
		}
		again = false
		heard.Store(true)
		select {
		case events <- got:
		case <-ctx.Done():
			return nil
		}
	}
}

// ping tries a connection that is silent, until ctx ends. It returns an error
// when nothing came back.
func ping(ctx context.Context, sub *redis.PubSub, quiet time.Duration, heard *atomic.Bool) error {
	t := time.NewTicker(quiet)
	defer t.Stop()
	for asked := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		switch {
		case heard.Swap(false):
			asked = false
		case asked:
			return errSilent
		default:
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return err
			}
		}
	}
}
