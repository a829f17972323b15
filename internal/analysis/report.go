package analysis

import "time"

// ReportVersion is the value of [Report.Version]. It grows when a field
// changes its meaning; adding a field leaves it as it is.
const ReportVersion = 1

// Report is what profbot says about one service's profiles. It is plain data:
// the Slack thread, the report page, the terminal and --json all render it,
// and none of them computes anything of its own.
type Report struct {
	Version int    `json:"version"`           // [ReportVersion]
	Service string `json:"service,omitempty"` // as it was asked for

	// Samples is the number of CPU samples of the pods in [Report.Pods] that
	// are not controls; every share below is a share of these.
	Samples int64         `json:"samples"`
	CPU     time.Duration `json:"cpu_ns"`    // CPU time those samples stand for
	Window  time.Duration `json:"window_ns"` // longest CPU profile among them, wall clock

	Pods      []Pod      `json:"pods"`
	Endpoints []Endpoint `json:"endpoints"` // by share of CPU, largest first
	// Other is the CPU outside the endpoints (server I/O, GC, scheduler,
	// background goroutines), by share, largest first.
	Other []Part `json:"other,omitempty"`
	// Suspected lists functions that sound like a codec but are not in the
	// codec table. They are never counted as decoding or encoding.
	Suspected []Part `json:"suspected,omitempty"`

	// GC is what allocation and the collector take, in the background and
	// wherever else. It lies inside the others.
	GC Share `json:"gc"`

	// Kinds lists the kinds of profiles that were read: "cpu", "allocs",
	// "goroutine", "heap", "mutex", "block". Without "cpu" the report is a
	// partial one: it has findings and no endpoints.
	Kinds []Kind `json:"kinds,omitempty"`
	// Findings are what else was found, beside the endpoints' verdicts, the
	// most severe first.
	Findings []Finding `json:"findings,omitempty"`
	// Diff is what changed against another report; nil when none was given.
	Diff *Diff `json:"diff,omitempty"`

	// Focus is the kind of profile that the report is about first, as it was
	// asked for; "" is CPU.
	Focus Kind `json:"focus,omitempty"`
	// Heap is the size of the live heap; nil without a heap profile.
	Heap *HeapSize `json:"heap,omitempty"`
	// Profiling is what taking the profiles took: the samples in runtime/pprof
	// and net/http/pprof. It lies inside the others.
	Profiling Share `json:"profiling"`

	Truncated    Share    `json:"truncated"`       // samples whose stack was cut at the runtime's limit
	Unattributed Share    `json:"unattributed"`    // samples that no rule could place
	Notes        []string `json:"notes,omitempty"` // what the reader must know to trust the numbers, each a sentence
}

// HeapSize is how much memory lives in the heaps of the pods that are not
// controls, all together, as far as the runtime's samples tell it.
type HeapSize struct {
	Pods   int           `json:"pods"`                   // with a heap profile
	Live   int64         `json:"live_bytes"`             // at the last snapshot
	Before int64         `json:"before_bytes,omitempty"` // at the first; 0 when not every pod has two
	Window time.Duration `json:"window_ns,omitempty"`    // between the two, on average
}

// Pod sums up one pod's part in the report.
type Pod struct {
	Name    string        `json:"name"`              // of the pod, or of the file
	Control bool          `json:"control,omitempty"` // not part of the shares, shown beside them
	Samples int64         `json:"samples"`           // CPU samples of this pod
	CPU     time.Duration `json:"cpu_ns"`            // CPU time they stand for
	Window  time.Duration `json:"window_ns"`         // length of its CPU profile, wall clock
	Cores   float64       `json:"cores"`             // CPU ÷ Window: cores seen busy during the sample
	Decode  Share         `json:"decode"`            // decoding, all endpoints of this pod
	// Differs says in what this pod differs significantly from the other pods
	// that are not controls; nil when it does not, or is the only one.
	Differs []Difference `json:"differs,omitempty"`
}

// Difference is one way in which a pod stands out.
type Difference struct {
	// What is "decode" for the pod's share of decoding, or the name of an
	// endpoint for that endpoint's share of the pod's CPU.
	What   string `json:"what"`
	Pod    Share  `json:"pod"`    // in this pod
	Others Share  `json:"others"` // in the other pods together
}

// Share is a proportion estimated from samples.
type Share struct {
	Part    float64 `json:"part"`    // 0 to 1; 0 when Of is 0
	Low     float64 `json:"low"`     // lower end of the Wilson score interval, 95 %
	High    float64 `json:"high"`    // upper end of it
	Samples int64   `json:"samples"` // the samples that Part is made of
	Of      int64   `json:"of"`      // the samples this is a share of
}

// Part is one named piece of the whole.
type Part struct {
	Name  string `json:"name"`  // "(gc) background garbage collection", or a function
	Share Share  `json:"share"` // of the report's samples
}

// Endpoint is one handler and what its CPU went to.
type Endpoint struct {
	// Name is the route where a label names it ("GET /live/list"), else the
	// handler function ("(*API).LiveList").
	Name    string `json:"name"`
	Handler string `json:"handler,omitempty"` // full name of the handler function
	File    string `json:"file,omitempty"`    // where it stands
	Line    int64  `json:"line,omitempty"`    // where it begins
	// How says how the samples were attributed: "label:endpoint", "rpc", "stack".
	How string `json:"how"`

	Share Share `json:"share"` // of the report's samples

	// Decode, Encode, Compress, IO and Alloc are shares of this endpoint's
	// samples. Decode, Encode, Compress and IO do not overlap; Alloc
	// (allocation and GC assist) lies inside the others.
	Decode   Share `json:"decode"`
	Encode   Share `json:"encode"`
	Compress Share `json:"compress"`
	IO       Share `json:"io"`
	Alloc    Share `json:"alloc"`
	// BackgroundGC is this endpoint's part of the process's background GC, by
	// allocated bytes, as a share of the process's CPU; 0 without allocs profiles.
	BackgroundGC float64 `json:"background_gc"`
	// DecodeGC is the part of [Endpoint.BackgroundGC] that its decoding caused.
	DecodeGC float64 `json:"decode_gc"`

	// Inside is how many goroutines were inside the endpoint's handler at one
	// moment, all pods; 0 when none was seen or no goroutine profile was given.
	Inside int64 `json:"inside,omitempty"`
	// Rate is the requests a second, all pods together, as it was given; 0
	// when it is not known. CPUPerRequest is the CPU time of one request then.
	Rate          float64       `json:"requests_per_second,omitempty"`
	CPUPerRequest time.Duration `json:"cpu_per_request_ns,omitempty"`

	Codecs  []Codec  `json:"codecs,omitempty"`  // by share of the endpoint, largest first
	Sources []Source `json:"sources,omitempty"` // of the decoded bytes, by share, largest first
	Verdict Verdict  `json:"verdict"`           // about its decoding, encoding and compression
	// Gain is what sharing would save; only with the verdict [RuleCacheDecode].
	Gain *Gain `json:"gain,omitempty"`
}

// Codec is the use of one codec in one direction by one endpoint.
type Codec struct {
	Name      string    `json:"name"`      // "encoding/json"
	Direction Direction `json:"direction"` // which way it was used
	Share     Share     `json:"share"`     // of the endpoint
	Entry     string    `json:"entry"`     // outermost codec function most often seen: "encoding/json.Unmarshal"
	// Caller is the application function that calls the entry, CallerFile and
	// CallerLine the line of the call: the place to wrap.
	Caller     string `json:"caller,omitempty"`
	CallerFile string `json:"caller_file,omitempty"`
	CallerLine int64  `json:"caller_line,omitempty"`
}

// Direction is decode, encode, or a kind of compression.
type Direction string

// Directions.
const (
	Decode     Direction = "decode"     // bytes to values
	Encode     Direction = "encode"     // values to bytes
	Compress   Direction = "compress"   // fewer bytes
	Decompress Direction = "decompress" // and back
)

// SourceKind says where decoded bytes came from.
type SourceKind string

// Kinds of sources.
const (
	SourceCache   SourceKind = "cache"             // a byte store such as Redis or freecache
	SourceDB      SourceKind = "database"          // a database, embedded or not
	SourceQueue   SourceKind = "queue"             // a message queue
	SourceRequest SourceKind = "request body"      // the caller's own bytes
	SourceReply   SourceKind = "rpc or http reply" // another service's answer
	SourceUnknown SourceKind = "unknown"           // no rule told
)

// Source is where one part of an endpoint's decoded bytes came from.
type Source struct {
	Kind SourceKind `json:"kind"`          // what kind of place
	Via  string     `json:"via,omitempty"` // "freecache", "go-redis", "freecache + go-redis", "net/http"
	// Evidence names the rule that found it: "ancestor", "reader", "sibling", "name".
	Evidence string `json:"evidence,omitempty"`
	Share    Share  `json:"share"` // of the endpoint's decode samples
}

// Rule names a verdict's rule. The thresholds are in [Thresholds].
type Rule string

// Rules.
const (
	// RuleCacheDecode: decoding dominates and the bytes come from a cache, a
	// database or a reply, so that concurrent callers could share one decode.
	RuleCacheDecode Rule = "cache-decode"
	// RuleDecode: decoding dominates, and sharing would not help or the
	// source is unknown.
	RuleDecode Rule = "decode"
	// RuleEncode: encoding dominates.
	RuleEncode Rule = "encode"
	// RuleCompress: compression or decompression dominates.
	RuleCompress Rule = "compress"
	// RuleFewSamples: too few samples to say.
	RuleFewSamples Rule = "too-few-samples"
	// RuleNone: nothing here is dominated by serialization.
	RuleNone Rule = "ok"
)

// Verdict is the conclusion about one endpoint.
type Verdict struct {
	Rule    Rule   `json:"rule"`    // which rule concluded it
	Flagged bool   `json:"flagged"` // true for the rules that ask someone to change code
	Title   string `json:"title"`   // a few words: "decodes cached bytes again and again"
	Why     string `json:"why"`     // the rule with its numbers, one sentence
	Next    string `json:"next"`    // one next step, with the function and line; "" when there is none
}

// Category is what a frame, or a sample, is spent on. It decides the colour
// in a flame graph.
type Category string

// Categories.
const (
	CatApp      Category = "app"
	CatDecode   Category = "decode"
	CatEncode   Category = "encode"
	CatCompress Category = "compress"
	CatGC       Category = "gc"      // allocation, assist, background GC
	CatRuntime  Category = "runtime" // scheduler, maps, channels, memmove
	CatIO       Category = "io"      // net, syscall, tls records
	CatStore    Category = "store"   // cache and database clients
	CatCrypto   Category = "crypto"
	CatLibrary  Category = "library" // standard library and third-party code not above
)

// Tree is the call tree of one or more profiles of the same kind: what a
// flame graph draws.
type Tree struct {
	Root *Node  `json:"root"`
	Kind string `json:"kind"` // "cpu", "heap", "allocs", "goroutine", "mutex", "block"
	Unit string `json:"unit"` // of Total and Self: "samples", "bytes", "objects", "goroutines", "nanoseconds", "contentions"
	// PerSecond is how many units are one second of CPU; 0 when that makes no sense.
	PerSecond float64 `json:"per_second,omitempty"`
	// PerSample is how many units one observation of the profiler stands for
	// on average: half a mebibyte in a heap profile. A test of significance
	// counts observations, not units. 0 means 1.
	PerSample float64 `json:"per_sample,omitempty"`
}

// Node is one frame of a [Tree] with everything that was called below it.
// Total is Self plus the Totals of Children.
type Node struct {
	Name     string   `json:"name"` // short, for a box: "json.Unmarshal"
	Func     string   `json:"func"` // full, as the runtime names it, type parameters dropped
	File     string   `json:"file,omitempty"`
	Line     int64    `json:"line,omitempty"` // of the function's start
	Category Category `json:"category"`
	// Endpoint is the name of the endpoint whose samples these are; "" above
	// the handler and outside endpoints.
	Endpoint string  `json:"endpoint,omitempty"`
	Total    int64   `json:"total"`
	Self     int64   `json:"self,omitempty"`
	Children []*Node `json:"children,omitempty"` // by Total, largest first
	// Diff is what changed, in a tree that [DiffTree] made; nil elsewhere.
	Diff *NodeDiff `json:"diff,omitempty"`
}
