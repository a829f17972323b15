package incident

import "time"

// Via is how a target is reached.
type Via string

// The ways to a target. A way other than the direct one is opened by whoever
// discovered the target; see the collector's Options.Via.
const (
	ViaDirect      Via = ""             // dial the address
	ViaProxy       Via = "proxy"        // through the Kubernetes API server: pods/proxy
	ViaPortForward Via = "port-forward" // through the Kubernetes API server: pods/portforward, for pprof bound to localhost
)

// Target is one pod that may be profiled. Targets come from configuration or
// discovery, never from a payload or a command.
type Target struct {
	Service   string `json:"service"`
	Env       string `json:"env,omitempty"`
	Version   string `json:"version,omitempty"` // Datadog's unified version tag; "" when unknown
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod"`
	// UID is what Kubernetes calls this very pod: one that takes over the
	// name or the address has another. "" where there is no such thing.
	UID  string `json:"uid,omitempty"`
	Node string `json:"node,omitempty"` // the machine it runs on; "" when unknown
	Via  Via    `json:"via,omitempty"`
	// URL is the address of the pod's pprof index without a trailing slash,
	// such as "http://10.1.2.3:6060/debug/pprof". Where Via is not direct the
	// host is what the pod calls itself there, and the way knows the rest.
	URL string `json:"-"`
	// Authorization is sent as the header of that name; "" sends none.
	Authorization string `json:"-"`
	// TLS names the client certificate and authorities to use, as the
	// collector's Options.TLS knows them; "" means the system's authorities
	// and no certificate.
	TLS string `json:"-"`
	// Refuses are the kinds that the pod's owner has switched off, with an
	// annotation for instance. They are not pulled.
	Refuses []Kind `json:"refuses,omitempty"`
	// Found says in a few plain words how the target is known, such as
	// "annotation pyroscope.io/scrape"; "" for the configuration's list.
	Found string `json:"found,omitempty"`
}

// Measure is what makes a pod hot.
type Measure string

// The measures that pods are chosen by.
const (
	MeasureCPU    Measure = "cpu"    // in cores
	MeasureMemory Measure = "memory" // in bytes
)

// PodLoad is how busy one pod was, as a metric says.
type PodLoad struct {
	Pod string `json:"pod"`
	// Namespace is the pod's; "" when the metric does not tell.
	Namespace string `json:"namespace,omitempty"`

	Cores float64 `json:"cores"`           // mean CPU over the queried window, in cores; 0 when another measure was asked for
	Bytes float64 `json:"bytes,omitempty"` // mean memory over it, for [MeasureMemory]
	// Requests is the mean rate of requests over it, a second; 0 when unknown.
	Requests float64 `json:"requests,omitempty"`
}

// Monitor is what a monitor is set to, as its owner wrote it.
type Monitor struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	Type  string `json:"type,omitempty"` // "query alert", "metric alert", ...
	Query string `json:"query,omitempty"`
	// Critical and Warning are the thresholds; nil when there is none.
	Critical *float64 `json:"critical,omitempty"`
	Warning  *float64 `json:"warning,omitempty"`
	URL      string   `json:"url,omitempty"` // its page; shown, never fetched
}

// Event is a verdict for the timeline of the monitor that fired.
type Event struct {
	Incident string // one event for each, whatever happens
	Key      Key
	Title    string // one line
	Text     string // plain text or Markdown
	URL      string // of the report; "" for none
	At       time.Time
}
