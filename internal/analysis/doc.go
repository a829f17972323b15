// Package analysis turns Go profiles into a [Report]: which endpoint burns the
// CPU, how much of that decodes or encodes, where the decoded bytes came from,
// and what to do about it.
//
// [Analyze] is the whole of it, and a pure function. On the way a profile
// becomes paths of interned functions in one tree (paths.go, stack.go), and cut
// ones are repaired (repair.go). Every stack gets an endpoint: labels first
// (label.go), then generated RPC glue and the dispatch spine (spine.go, with the
// application's own dispatchers in fanout.go), then the handler that spawned
// it (goroutine.go). Then it is found out what it was doing (codec.go,
// category.go) and, for every place that decodes, where the bytes came from
// (source.go, evidence.go). The allocs and goroutine profiles lend their stacks
// as evidence, and allocs their bytes to share out the background GC. Counting
// makes the report (count.go), thresholds make the verdicts (thresholds.go,
// verdict.go), and a flagged endpoint gets what sharing would save, as a range
// (gain.go). What else the profiles show, of any kind (kind.go), are findings:
// hot paths, garbage, locks, pile-ups, growth, pods that differ (hot.go and its
// neighbours). tree.go and its neighbours make what flame graphs draw.
//
// The rules are held to profiles of which the truth is known: package eval
// judges, module lab makes such profiles.
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
