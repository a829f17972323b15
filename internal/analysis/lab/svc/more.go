package svc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/profbot/profbot/internal/analysis/lab/clock"
)

// Rank reads an upstream's reply whole and decodes it.
func (a *API) Rank(ctx context.Context, id string) ([]byte, error) {
	l := a.meters["rank"].Start()
	defer l.Stop()
	b, err := a.fetch(ctx, "/feed?id="+id)
	l.Done(clock.Get)
	if err != nil {
		return nil, err
	}
	var f Feed
	err = json.Unmarshal(b, &f)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 4)
}

func (a *API) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Upstream+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// Stream decodes an upstream's reply while it reads it: the clock of decoding
// runs for both.
func (a *API) Stream(ctx context.Context, id string) ([]byte, error) {
	l := a.meters["stream"].Start()
	defer l.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Upstream+"/feed?id="+id, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.HTTP.Do(req)
	l.Done(clock.Get)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var f Feed
	err = json.NewDecoder(resp.Body).Decode(&f)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 4)
}

// Rows decodes a column of a database.
func (a *API) Rows(ctx context.Context, id string) ([]byte, error) {
	if a.DB == nil {
		return nil, errors.New("no database in this build")
	}
	l := a.meters["rows"].Start()
	defer l.Stop()
	var b []byte
	err := a.DB.QueryRowContext(ctx, "SELECT body FROM feeds WHERE id = ?", id).Scan(&b)
	l.Done(clock.Get)
	if err != nil {
		return nil, err
	}
	var f Feed
	err = json.Unmarshal(b, &f)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 4)
}

// InBolt decodes a value of an embedded database inside its transaction.
func (a *API) InBolt(_ context.Context, id string) ([]byte, error) {
	l := a.meters["bolt"].Start()
	defer l.Stop()
	var f Feed
	err := a.Bolt.View(func(tx *bolt.Tx) error {
		b := bytes.Clone(tx.Bucket([]byte("feeds")).Get([]byte(id)))
		l.Done(clock.Get)
		err := json.Unmarshal(b, &f)
		l.Done(clock.Decode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 4)
}

// Remote decodes the payload of a gRPC reply.
func (a *API) Remote(ctx context.Context, id string) ([]byte, error) {
	l := a.meters["rpc"].Start()
	defer l.Stop()
	resp, err := a.RPC.UnaryCall(ctx, &grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{Body: []byte(id)}})
	l.Done(clock.Get)
	if err != nil {
		return nil, err
	}
	var f Feed
	err = json.Unmarshal(resp.GetPayload().GetBody(), &f)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, f.Items, 4)
}

// Post reads a request's body whole and decodes it.
func (a *API) Post(_ context.Context, r io.Reader) ([]byte, error) {
	l := a.meters["post"].Start()
	defer l.Stop()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var m ChatMsg
	err = json.Unmarshal(b, &m)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, m.Items, 4)
}

// OnEvent decodes a message of a queue.
func (a *API) OnEvent(_ context.Context, b []byte) error {
	l := a.meters["events"].Start()
	defer l.Stop()
	var m ChatMsg
	err := json.Unmarshal(b, &m)
	l.Done(clock.Decode)
	if err != nil {
		return err
	}
	Work(m.Items, 4)
	l.Done(clock.App)
	return nil
}

// OnMessage decodes a message of a WebSocket.
func (a *API) OnMessage(_ context.Context, b []byte) ([]byte, error) {
	l := a.meters["ws"].Start()
	defer l.Stop()
	m := new(ChatMsg)
	err := json.Unmarshal(b, m)
	l.Done(clock.Decode)
	if err != nil {
		return nil, err
	}
	return answer(l, m.Items, 4)
}
