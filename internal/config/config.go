// Package config reads profbot's configuration: one YAML file, and the
// environment on top of it. [Load] says everything that is wrong at once, each
// fault with its place and what to write instead.
package config

import (
	"slices"
	"time"
	_ "time/tzdata" // images have no zones, and digests want one
)

// Config is the whole configuration. Keys are written as in the yaml tags;
// the environment variable of a key is PROFBOT_ and the key in capitals with
// _ for the dots: slack.token is PROFBOT_SLACK_TOKEN. The doc tag is the key's
// reference text.
type Config struct {
	Listen    Listen        `yaml:"listen"`
	Data      string        `yaml:"data" doc:"Folder of the database and the profiles. One profbot at a time may use it."`
	LinkKey   Secret        `yaml:"link_key" doc:"Signs the report links in Slack, at least 32 characters. Default: made once and kept in the data folder."`
	Retention time.Duration `yaml:"retention" doc:"How long incidents and profiles are kept; twice as long those that cannot be told."`
	Log       Log           `yaml:"log"`
	Slack     Slack         `yaml:"slack"`
	Webhook   Webhook       `yaml:"webhook"`
	Datadog   Datadog       `yaml:"datadog"`
	// Services need not be listed where Kubernetes finds them.
	Services   []Service  `yaml:"services" doc:"The services that may be profiled: with their pods, or with settings for pods that are discovered."`
	Kubernetes Kubernetes `yaml:"kubernetes"`
	Capture    Capture    `yaml:"capture"`
	Verdict    Verdict    `yaml:"verdict"`
}

// Listen are profbot's two listeners and its address.
type Listen struct {
	Public   string `yaml:"public" doc:"host:port for webhooks. Datadog must reach it, best through a proxy with TLS."`
	Internal string `yaml:"internal" doc:"host:port for report pages, health and profbot's own pprof. Keep it inside your network."`
	URL      string `yaml:"url" doc:"Address under which people reach the internal listener. Empty: messages carry no links, or, with a loopback listener, links that work on this machine alone."`
}

// Log is where detail goes; logs are written to standard error.
type Log struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error."`
	Format string `yaml:"format" doc:"text or json."`
}

// Slack is the workspace that is told.
type Slack struct {
	Token    Secret            `yaml:"token" doc:"Bot token (xoxb-) of the app made from deploy/slack/manifest.yaml. Required."`
	Channel  string            `yaml:"channel" doc:"Id of the channel for incidents (C...). Required."`
	Channels map[string]string `yaml:"channels" doc:"Channel ids of services that have a channel of their own."`
	APIURL   string            `yaml:"api_url" doc:"Replaces https://slack.com/api/, for tests and proxies."`
	// What people ask for in Slack comes by Socket Mode, or by HTTP.
	Mode           string      `yaml:"mode" doc:"How commands and clicks come in: socket (needs app_token, and no address that Slack can reach), http (needs signing_secrets; on listen.public), off, or auto: the one that is configured, socket first."`
	AppToken       Secret      `yaml:"app_token" doc:"App-level token (xapp-) with the scope connections:write."`
	SigningSecrets []Secret    `yaml:"signing_secrets" doc:"Signing secrets of the app; two during rotation."`
	Teams          []string    `yaml:"teams" doc:"Ids of the workspaces whose full members are answered (T...). Empty: the one that the app is installed in."`
	Routes         []Route     `yaml:"routes" doc:"Channels for services, teams and tags; the first that fits counts, after those under channels."`
	Rights         []Right     `yaml:"rights" doc:"Who may ask for what. Empty: every full member may ask for everything. What a right leaves out does not narrow it."`
	Limits         AskLimits   `yaml:"limits"`
	Digest         SlackDigest `yaml:"digest"`
}

// Route sends incidents to a channel. One of service, team and tag is set.
type Route struct {
	Service string `yaml:"service" doc:"Name of the service."`
	Team    string `yaml:"team" doc:"Team that owns it: services[].team, or the alert's team tag."`
	Tag     string `yaml:"tag" doc:"Tag of the alert, such as tier:1."`
	Channel string `yaml:"channel" doc:"Id of the channel (C...)."`
}

// Right lets people ask for something.
type Right struct {
	Users    []string `yaml:"users" doc:"Ids of people (U...)."`
	Groups   []string `yaml:"groups" doc:"Ids of user groups (S...)."`
	Channels []string `yaml:"channels" doc:"Ids of the channels that it can be asked for in."`
	Services []string `yaml:"services" doc:"Names of services, or patterns such as live-*."`
	May      []string `yaml:"may" doc:"capture, verify, mute, digest. Looking needs no right."`
}

// AskLimits are how many captures people may ask for in an hour.
type AskLimits struct {
	User    int `yaml:"user" doc:"Captures that one person may ask for within an hour; -1 for any number."`
	Service int `yaml:"service" doc:"Captures of one service that may be asked for within an hour; -1 for any number."`
}

// SlackDigest is when channels that want a weekly digest get it: on Mondays.
type SlackDigest struct {
	At   string `yaml:"at" doc:"Time of day of the weekly digest, on Mondays."`
	Zone string `yaml:"zone" doc:"Time zone of that time, such as Europe/Berlin."`
}

// The ways in of [Slack.Way].
const (
	WaySocket = "socket"
	WayHTTP   = "http"
	WayOff    = "off"
)

// Way is how commands and clicks come in: [WaySocket], [WayHTTP] or [WayOff].
func (s Slack) Way() string {
	switch {
	case s.Mode != "auto":
		return s.Mode
	case s.AppToken != "":
		return WaySocket
	case len(s.SigningSecrets) > 0:
		return WayHTTP
	}
	return WayOff
}

// Clock is the digest's time after midnight, and the zone of it. Both are zero
// when what is written is none, which [Load] refuses.
func (d SlackDigest) Clock() (time.Duration, *time.Location) {
	at, err := time.Parse("15:04", d.At)
	zone, zerr := time.LoadLocation(d.Zone)
	if err != nil || zerr != nil {
		return 0, nil
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, zone
}

// Webhook is who may send alerts.
type Webhook struct {
	Tokens []Secret `yaml:"tokens" doc:"Bearer tokens that senders may use, at least 16 characters; two during rotation. A token or a basic user is required."`
	Basic  []User   `yaml:"basic" doc:"Users that senders may use with HTTP Basic."`
}

// User is a user with a password.
type User struct {
	User     string `yaml:"user" doc:"Name."`
	Password Secret `yaml:"password" doc:"Password, at least 16 characters."`
}

// Datadog is where pod loads are asked for.
type Datadog struct {
	Site   string `yaml:"site" doc:"Datadog site."`
	APIKey Secret `yaml:"api_key" doc:"API key. Without keys pods are chosen by the alert or by name, not by load."`
	AppKey Secret `yaml:"app_key" doc:"Application key with the scopes timeseries_query, monitors_read and events_read."`
	Metric string `yaml:"metric" doc:"CPU metric with the tags service, env and pod_name, and kube_namespace where namespaces have pods of one name."`
	// Requests has no default: trace metrics carry pod_name only where that
	// tag was made one of theirs.
	Requests string `yaml:"requests" doc:"Counter of requests with the same tags, such as trace.http.request.hits; with it a fix is measured in requests per CPU-second. Empty: not asked for."`
	Memory   string `yaml:"memory" doc:"Memory metric with the same tags, for monitors of memory."`
	// Endpoints has no default for the same reason: not every tracer counts.
	Endpoints string `yaml:"endpoints" doc:"Counter of requests by service and resource_name, such as trace.http.request.hits; with it a report says the CPU of a request and narrows what sharing would save. Empty: not asked for."`
	Events    bool   `yaml:"events" doc:"Put the verdict on the monitor's timeline, as an event."`
	APIURL    string `yaml:"api_url" doc:"Replaces https://api.SITE, for tests and proxies."`
}

// Kubernetes is where pods are discovered.
type Kubernetes struct {
	Enabled    bool     `yaml:"enabled" doc:"Discover pods through the Kubernetes API."`
	Kubeconfig string   `yaml:"kubeconfig" doc:"File with the cluster's address and credentials. Empty: those of the pod that profbot runs in."`
	Context    string   `yaml:"context" doc:"Context within that file. Empty: its current one."`
	Namespaces []string `yaml:"namespaces" doc:"Namespaces to look in. Empty: all, which needs a ClusterRole."`
	Selector   string   `yaml:"selector" doc:"Label selector of the pods to know at all, such as team=live. Empty: all."`
	OptIn      bool     `yaml:"opt_in" doc:"Profile only pods that say so by an annotation (profbot's own, or one of Pyroscope, Grafana Alloy, Coroot, profefe). When false, every ready pod with a service name is a target, on the port below."`
	Port       int      `yaml:"port" doc:"Port of pprof for pods that do not say theirs."`
	Reach      string   `yaml:"reach" doc:"How pods are reached: pod-ip, proxy (needs get on pods/proxy) or port-forward (needs create on pods/portforward; for pprof bound to localhost)."`
	ServiceTag string   `yaml:"service_tag" doc:"Label of a pod that names its service, when it has none of Datadog's; then the name of its owner."`
}

// Service is one service that may be profiled.
type Service struct {
	Name          string            `yaml:"name" doc:"Value of the alerts' service tag."`
	Env           string            `yaml:"env" doc:"Value of the alerts' env tag; empty for any."`
	Namespace     string            `yaml:"namespace" doc:"Kubernetes namespace of the pods, shown in messages. Discovered pods get the service's credentials and TLS settings in this namespace alone, and those that name the service elsewhere are none of its pods: list a service once for each of its namespaces. Empty: any, without credentials."`
	Team          string            `yaml:"team" doc:"Who owns it, shown in lists and for slack.routes."`
	Authorization Secret            `yaml:"authorization" doc:"Authorization header for the pods' pprof endpoints. It goes over http where the pods' addresses say so and tls is not set."`
	User          string            `yaml:"user" doc:"User of HTTP Basic, in place of authorization."`
	Password      Secret            `yaml:"password" doc:"Password of HTTP Basic."`
	TLS           TLS               `yaml:"tls"`
	Targets       []Target          `yaml:"targets" doc:"The pods. Nothing else is ever dialled."`
	DNS           string            `yaml:"dns" doc:"Name that resolves to the pods, in place of targets: host:port for address records, or the name of SRV records such as _pprof._tcp.live-api.live.svc.cluster.local."`
	Path          string            `yaml:"path" doc:"Path of the pprof endpoints of pods that are discovered; empty is /debug/pprof."`
	AppPrefixes   []string          `yaml:"app_prefixes" doc:"Package path prefixes of the application, when the guess is wrong."`
	Routes        map[string]string `yaml:"routes" doc:"Names for handlers: the end of a function's name to what people call it."`
}

// TLS is how a service's pods are talked to over https. With any of its keys
// they are talked to in no other way.
type TLS struct {
	CA         string `yaml:"ca" doc:"File of the authorities that sign the pods' certificates, in PEM. Empty: the system's."`
	Cert       string `yaml:"cert" doc:"File of profbot's own certificate, for pods that ask for one."`
	Key        string `yaml:"key" doc:"File of its key."`
	ServerName string `yaml:"server_name" doc:"Name in the pods' certificates, when it is not the address."`
}

// Target is one pod.
type Target struct {
	Pod string `yaml:"pod" doc:"Name, as in the pod_name tag."`
	URL string `yaml:"url" doc:"Address of its pprof endpoints; /debug/pprof is added when it has no path."`
}

// Capture is what is pulled and how often.
type Capture struct {
	CPU          time.Duration `yaml:"cpu" doc:"Length of a CPU profile, 1s to 5m."`
	Pods         int           `yaml:"pods" doc:"Hot pods to profile in one incident, 1 to 20."`
	Control      bool          `yaml:"control" doc:"Also profile one cool pod to compare with."`
	CoolDown     time.Duration `yaml:"cool_down" doc:"A monitor that fires again within this time after its last capture starts no new one."`
	Simultaneous int           `yaml:"simultaneous" doc:"CPU profiles pulled at once, over all incidents, and profiles of other kinds beside them, 1 to 64."`
	PerService   int           `yaml:"per_service" doc:"Of these, CPU profiles of one service at once, and profiles of other kinds beside them, 1 to 64."`
	PerNode      int           `yaml:"per_node" doc:"CPU profiles on one node at once, 1 to 64."`
	Jitter       time.Duration `yaml:"jitter" doc:"CPU profiles start up to this much later than they could, so that the pods of a storm do not start as one."`
	Failures     int           `yaml:"failures" doc:"A service is left alone for a while after so many pulls in a row have failed, 1 to 1000."`
	Networks     []string      `yaml:"networks" doc:"Networks that pods may have addresses in. Link-local and metadata addresses are always refused."`
	MaxBytes     int64         `yaml:"max_bytes" doc:"Largest profile accepted, compressed. Plain bytes, or KiB, MiB, GiB."`
	MaxRawBytes  int64         `yaml:"max_raw_bytes" doc:"Largest profile accepted, decompressed. Parsed it takes about five times that in memory."`
}

// Verdict are the limits of the rules. Where one is of a share, the lower end
// of the share's 95 % interval has to reach it.
type Verdict struct {
	MinShare      float64 `yaml:"min_share" doc:"Endpoints below this share of the CPU are not judged."`
	MinSamples    int64   `yaml:"min_samples" doc:"Endpoints with fewer samples are not judged."`
	Dominated     float64 `yaml:"dominated" doc:"Decoding, or encoding, dominates when the lower end of its share's interval reaches this."`
	Compress      float64 `yaml:"compress" doc:"The same of compression."`
	GC            float64 `yaml:"gc" doc:"Allocation and the collector, of the process's CPU."`
	RegexpCompile float64 `yaml:"regexp_compile" doc:"Compiling regular expressions, of an endpoint's CPU."`
	Hot           float64 `yaml:"hot" doc:"Matching regular expressions, reflection, formatting, logging or copying, each, of an endpoint's CPU."`
	LockWait      float64 `yaml:"lock_wait" doc:"Seconds waited for locks in each second of a pod."`
	PileUp        int64   `yaml:"pile_up" doc:"Goroutines of a pod that wait at one place."`
	HeapGrowth    float64 `yaml:"heap_growth" doc:"Growth of the live heap between two snapshots, of its size."`
}

// privateNetworks are where pods live: the private networks, that of carriers
// which some clouds give to pods (RFC 6598), and this machine.
var privateNetworks = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128"}

// defaults are the values of keys that nobody sets.
func defaults() *Config {
	return &Config{
		Listen:    Listen{Public: ":8080", Internal: "127.0.0.1:6061"},
		Data:      "profbot-data",
		Retention: 30 * 24 * time.Hour,
		Log:       Log{Level: "info", Format: "text"},
		Slack: Slack{
			Mode: "auto", SigningSecrets: []Secret{}, Teams: []string{}, Routes: []Route{}, Rights: []Right{},
			Limits: AskLimits{User: 20, Service: 12}, Digest: SlackDigest{At: "09:00", Zone: "UTC"},
		},
		Datadog:    Datadog{Site: "datadoghq.com", Metric: "container.cpu.usage", Memory: "container.memory.usage", Events: true},
		Kubernetes: Kubernetes{Namespaces: []string{}, OptIn: true, Port: 6060, Reach: "pod-ip", ServiceTag: "app.kubernetes.io/name"},
		Capture: Capture{
			CPU: 30 * time.Second, Pods: 2, Control: true, CoolDown: 30 * time.Minute, Simultaneous: 4,
			PerService: 2, PerNode: 1, Jitter: time.Second, Failures: 10, Networks: slices.Clone(privateNetworks),
			MaxBytes: 64 << 20, MaxRawBytes: 64 << 20,
		},
		Verdict: Verdict{
			MinShare: 0.05, MinSamples: 100, Dominated: 0.25, Compress: 0.25, GC: 0.25, RegexpCompile: 0.01, Hot: 0.15,
			LockWait: 0.5, PileUp: 100, HeapGrowth: 0.1,
		},
	}
}
