// Package pprofserve serves a program's pprof profiles on a port of its own,
// and labels goroutines with the endpoint that they work for.
//
//	server, err := pprofserve.Start(pprofserve.Options{}) // :6060
//	if err != nil {
//		return err
//	}
//	defer server.Stop()
//
// The URLs, parameters, headers and error texts are those of net/http/pprof,
// so every tool that pulls from it works. It differs in what it guards:
//
//   - It never touches [http.DefaultServeMux]; net/http/pprof registers
//     itself there as soon as anything imports it, and so ends up on the
//     public port of every service that serves that mux. [Exposed] tells.
//   - Only loopback and private networks are answered, and a token can be
//     required. Durations are bounded, and a client that goes away frees the
//     profiler at once.
//   - The one CPU profiler that a process has is shared: pulls at the same
//     time are served from the same samples, and profilers that run inside
//     the process all the time do not make every pull fail. See [Busy] and
//     [StartCPUProfile].
//
// # Endpoint labels
//
// A CPU sample carries the labels of the goroutine it was taken from.
// [LabelMux], [Label] and [Do] set the label "endpoint" for the length of a
// request, to the route that was matched ("GET /users/{id}"), never to a path
// and never to an id. Goroutines that a handler starts inherit it. The modules
// pprofgin, pprofecho, pprofecho5, pprofchi and pprofgrpc below this package
// do the same for these frameworks.
//
// The package needs the standard library alone.
package pprofserve
