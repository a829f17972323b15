// Package interop tries pprofserve together with what it has to get along
// with: the profilers of Datadog and Pyroscope as they are, running in the same
// process against an intake of the test's, and the reader of google/pprof. It
// has tests only, and is a module of its own so that nobody else gets what they
// need.
//
//	go test -v -period 60s -pull 30s -timeout 20m
//
// runs them with the periods that production has.
package interop
