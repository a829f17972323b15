// Package sfcache will hold the shared read-through cache that profbot names
// as the fix for endpoints that decode the same cached bytes again and again:
// concurrent callers share one load and one decode.
//
// It is a module of its own so that a service that imports it gets none of
// profbot's dependencies. It exports nothing yet.
package sfcache
