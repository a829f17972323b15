package config

import (
	"fmt"
	"net"
)

// Notes are remarks on a configuration that is good and may still not do what
// was meant, one sentence each; nil when there are none.
func (c *Config) Notes() []string {
	var out []string
	host, _, err := net.SplitHostPort(c.Listen.Internal)
	if local := host == "localhost" || net.ParseIP(host).IsLoopback(); err == nil && local && c.Listen.URL == "" {
		out = append(out, fmt.Sprintf("listen.url is empty: links in Slack lead to http://%s, which only this machine can open", c.Listen.Internal))
	}
	return out
}
