package app

import (
	"fmt"

	"github.com/profbot/profbot/internal/config"
	"github.com/profbot/profbot/internal/discovery"
	"github.com/profbot/profbot/internal/discovery/kube"
)

// Check is a [config.Check] for what the text of a configuration does not show
// by itself, and profbot could not start with: files that are not there, and
// what only those who use a value understand. It contacts nobody. That profbot
// does not run in the pod that the configuration is for is no fault: a
// configuration is often looked at elsewhere.
func Check(cfg *config.Config, bad func(key, problem, fix string)) {
	for i, s := range cfg.Services {
		key := fmt.Sprintf("services[%d].", i)
		if _, which, err := tlsConfig(s.TLS); err != nil {
			bad(key+"tls."+which, err.Error(), "name a file in PEM that profbot can read")
		}
		if s.DNS == "" {
			continue
		}
		if _, _, err := discovery.SplitName(s.DNS); err != nil {
			bad(key+"dns", err.Error(), "add the port, such as live-api.live.svc:6060")
		}
	}
	if !cfg.Kubernetes.Enabled {
		return
	}
	for _, e := range kube.Check(kubeOptions(cfg, nil, nil)) {
		bad("kubernetes."+e.Option, e.Problem, e.Fix)
	}
}
