// Package profile reads profiles in pprof's format
// (github.com/google/pprof/blob/main/proto/profile.proto) by index: [Parse]
// finds where everything lies in the decompressed bytes, and [Profile.Samples]
// decodes one sample at a time into a buffer that it uses again.
//
// The parser of github.com/google/pprof makes an object of every sample, line
// and label and takes four to six times the raw size for it. A report of
// twenty pods reads each sample once, so this package keeps the raw bytes and
// an offset a sample. The tests hold it against that parser.
//
// Profiles come from other people's processes: what is malformed is an error
// that wraps [ErrMalformed], never a panic, and memory is bounded by the limit
// on raw bytes.
package profile
