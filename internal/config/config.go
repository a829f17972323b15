// Package config reads profbot's configuration: one YAML file, and the
// environment on top of it. [Load] says everything that is wrong at once, each
// fault with its place and what to write instead.
package config

import (
	"time"
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
	Services  []Service     `yaml:"services" doc:"The services that may be profiled, with their pods."`
	Capture   Capture       `yaml:"capture"`
	Verdict   Verdict       `yaml:"verdict"`
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
	AppKey Secret `yaml:"app_key" doc:"Application key with scope timeseries_query."`
	Metric string `yaml:"metric" doc:"CPU metric with the tags service, env and pod_name."`
	// Requests has no default: trace metrics carry pod_name only where that
	// tag was made one of theirs.
	Requests string `yaml:"requests" doc:"Counter of requests with the same tags, such as trace.http.request.hits; with it a fix is measured in requests per CPU-second. Empty: not asked for."`
	APIURL   string `yaml:"api_url" doc:"Replaces https://api.SITE, for tests and proxies."`
}

// Service is one service that may be profiled.
type Service struct {
	Name          string            `yaml:"name" doc:"Value of the alerts' service tag."`
	Env           string            `yaml:"env" doc:"Value of the alerts' env tag; empty for any."`
	Namespace     string            `yaml:"namespace" doc:"Kubernetes namespace, shown in messages."`
	Authorization Secret            `yaml:"authorization" doc:"Authorization header for the pods' pprof endpoints."`
	Targets       []Target          `yaml:"targets" doc:"The pods. Nothing else is ever dialled."`
	AppPrefixes   []string          `yaml:"app_prefixes" doc:"Package path prefixes of the application, when the guess is wrong."`
	Routes        map[string]string `yaml:"routes" doc:"Names for handlers: the end of a function's name to what people call it."`
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
	Simultaneous int           `yaml:"simultaneous" doc:"Profiles pulled at once, over all incidents, 1 to 64."`
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

// defaults are the values of keys that nobody sets.
func defaults() *Config {
	return &Config{
		Listen:    Listen{Public: ":8080", Internal: "127.0.0.1:6061"},
		Data:      "profbot-data",
		Retention: 30 * 24 * time.Hour,
		Log:       Log{Level: "info", Format: "text"},
		Datadog:   Datadog{Site: "datadoghq.com", Metric: "container.cpu.usage"},
		Capture: Capture{
			CPU: 30 * time.Second, Pods: 2, Control: true, CoolDown: 30 * time.Minute, Simultaneous: 4,
			MaxBytes: 64 << 20, MaxRawBytes: 64 << 20,
		},
		Verdict: Verdict{
			MinShare: 0.05, MinSamples: 100, Dominated: 0.25, Compress: 0.25, GC: 0.25, RegexpCompile: 0.01, Hot: 0.15,
			LockWait: 0.5, PileUp: 100, HeapGrowth: 0.1,
		},
	}
}
