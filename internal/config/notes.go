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
	for i, s := range c.Services {
		if have := s.guarded(); c.Kubernetes.Enabled && s.Namespace == "" && have != "" {
			out = append(out, fmt.Sprintf("services[%d] has no namespace: its %s is for the pods that are listed here or in DNS, and not for those of %q that Kubernetes finds", i, have, s.Name))
		}
	}
	return out
}
