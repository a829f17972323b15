//go:build !small

package routers

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// consumer takes messages of a queue, whose server runs in the same process:
// the listener's address is only what the load connects to.
type consumer struct{ api *svc.API }

func (c *consumer) onNATS(m *nats.Msg) { _ = c.api.OnEvent(context.Background(), m.Data) }

func (c *consumer) pollKafka(cl *kgo.Client) error {
	for {
		f := cl.PollFetches(context.Background())
		if f.IsClientClosed() {
			return nil
		}
		f.EachRecord(func(r *kgo.Record) { c.handleRecord(r) })
	}
}

func (c *consumer) handleRecord(r *kgo.Record) { _ = c.api.OnEvent(context.Background(), r.Value) }

func message() ([]byte, error) {
	return json.Marshal(svc.ChatMsg{Room: "lab", Items: svc.NewFeed(25).Items})
}

func init() {
	All["nats"] = func(a *svc.API) Server {
		return Server{
			Handlers: map[string]string{"events": `routers\.\(\*consumer\)\.onNATS(-fm)?$`},
			Serve: func(l net.Listener) error {
				port := l.Addr().(*net.TCPAddr).Port
				if err := l.Close(); err != nil { // it only listens by itself
					return err
				}
				s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true})
				if err != nil {
					return err
				}
				go s.Start() // ends with the process
				s.ReadyForConnections(5 * time.Second)
				c, err := nats.Connect(s.ClientURL())
				if err != nil {
					return err
				}
				if _, err := c.Subscribe("lab", (&consumer{a}).onNATS); err != nil {
					return err
				}
				s.WaitForShutdown()
				return nil
			},
			Drive: func(addr, _ string, stop <-chan struct{}) error {
				c, err := nats.Connect("nats://"+addr, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
				if err != nil {
					return err
				}
				defer c.Close()
				b, err := message()
				if err != nil {
					return err
				}
				return Every(stop, func() error { return c.Publish("lab", b) })
			},
		}
	}
	All["kafka"] = func(a *svc.API) Server {
		return Server{
			Handlers: map[string]string{"events": `routers\.\(\*consumer\)\.(pollKafka(\.func\d+)?|handleRecord)$`},
			Serve: func(l net.Listener) error {
				port := l.Addr().(*net.TCPAddr).Port
				if err := l.Close(); err != nil {
					return err
				}
				if _, err := kfake.NewCluster(kfake.Ports(port), kfake.SeedTopics(1, "lab")); err != nil {
					return err
				}
				cl, err := kgo.NewClient(kgo.SeedBrokers(l.Addr().String()), kgo.ConsumeTopics("lab"))
				if err != nil {
					return err
				}
				return (&consumer{a}).pollKafka(cl)
			},
			Drive: func(addr, _ string, stop <-chan struct{}) error {
				cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("lab"))
				if err != nil {
					return err
				}
				defer cl.Close()
				b, err := message()
				if err != nil {
					return err
				}
				return Every(stop, func() error {
					cl.Produce(context.Background(), &kgo.Record{Value: b}, nil)
					return nil
				})
			},
		}
	}
}
