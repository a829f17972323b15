// Package analysis turns Go profiles into a [Report]: which endpoint burns the
// CPU, how much of that decodes or encodes, where the decoded bytes came from,
// and what to do about it.
//
// [Analyze] is the whole of it, and a pure function. On the way a profile
// becomes stacks of interned functions (stack.go), every stack gets an
// endpoint (endpoint.go, after labels, generated RPC glue, the dispatch spine,
// and the handler that spawned it), then what it was doing (codec.go,
// category.go), and every place that decodes gets the source of its bytes
// (source.go). The allocs profiles lend their stacks as evidence and their
// bytes to share out the background GC. Counting makes the report (count.go),
// thresholds make the verdicts (thresholds.go, verdict.go), and a flagged
// endpoint gets what sharing would save, as a range (gain.go). What else the
// profiles show, of any kind (kind.go), are findings: hot paths, garbage,
// locks, pile-ups, growth, pods that differ (hot.go and its neighbours).
//
// [Compare] asks of two reports whether a fix worked, [DiffReports] what
// changed at all. docs/report-json.md describes the report field by field.
//
// A profile's raw bytes are garbage when its paths are read (paths.go), and its
// stacks may not unfold to more frames than its size explains: what profiles
// cost is bounded, and measured against go tool pprof by the command bench.
//
// Every share carries its number of samples and its 95 % interval: a profile
// is a sample, and a small one says little.
package analysis
