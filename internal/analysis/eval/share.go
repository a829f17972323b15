package main

import (
	"fmt"
	"regexp"

	"github.com/profbot/profbot/internal/analysis"
)

var (
	// responseWriter matches functions that write a response, which runs after
	// the truth's clocks stopped: the standard library's, and what frameworks
	// wrap around it.
	responseWriter = regexp.MustCompile(`^(net/http|golang\.org/x/net/http2)\.\(\*(response|http2responseWriter|responseWriter|chunkWriter|timeoutWriter|ResponseController)\)\.|` +
		`/[^(]*\.\(\*?\w*[rR]esponse(Writer)?\)\.(Write|WriteString|WriteHeader|WriteHeaderNow|WriteTo|Flush|ReadFrom|SetBody|AppendBody|SetBodyString|SetBodyRaw)$|` +
		`^bufio\.\(\*Writer\)\.ReadFrom$`)
	// bodyReader matches functions that read a request's body, which is part
	// of decoding to the truth's clocks.
	bodyReader = regexp.MustCompile(`^net/http\.\(\*(body|http2requestBody|maxBytesReader|expectContinueReader)\)\.|^golang\.org/x/net/http2\.\(\*requestBody\)\.|` +
		`^io\.ReadAll$|^io/ioutil\.ReadAll$|^bytes\.\(\*Buffer\)\.ReadFrom$|` +
		`^github\.com/valyala/fasthttp\.\(\*(bodyStream|requestStream)\)\.`)
)

// share judges an endpoint's decode share. See the command's comment.
func (j *judge) share(name string, e *trueEndpoint, end *analysis.Endpoint) {
	if e.DecodeShare == nil || j.p.rpc() || end == nil && e.HandlerCPU < ran {
		return
	}
	j.line.Shares++
	if end == nil {
		j.miss("decode share", name, 0, nil, "no endpoint to compare with")
		return
	}
	reads := e.source() == analysis.SourceRequest
	decode, total := end.Decode.Samples, end.Share.Samples
	other, decoded := map[string]int64{}, map[string]int64{}
	walk(j.res.Tree, func(s sample) {
		if s.end != end.Name {
			return
		}
		path := s.below()
		switch {
		case has(path, responseWriter):
			total -= s.n
		case reads && has(path, bodyReader) && (s.kind() != analysis.CatDecode || isIO(path)):
			decode += s.n
		case s.kind() == analysis.CatDecode:
			decoded[s.String()] += s.n
		default:
			other[s.String()] += s.n
		}
	})
	fair := analysis.ShareOf(decode, total)
	if within(*e.DecodeShare, end.Decode) {
		j.line.SharesInAsIs++
	}
	if within(*e.DecodeShare, fair) || total <= 0 {
		j.line.SharesIn++
		return
	}
	stacks := other
	if fair.Low > *e.DecodeShare {
		stacks = decoded
	}
	j.miss("decode share", name, total, stacks, "%s of %d, truth %.1f %%; as reported %s of %d", fair, total, 100**e.DecodeShare, end.Decode, end.Decode.Of)
}

func isIO(path []*analysis.Node) bool {
	for _, n := range path {
		if n.Category == analysis.CatIO {
			return true
		}
	}
	return false
}

// rounding keeps a bound that is the truth from missing it.
const rounding = 1e-9

func within(x float64, s analysis.Share) bool {
	return s.Of > 0 && x >= s.Low-rounding && x <= s.High+rounding
}

// sources judges what is said of where the decoded bytes came from.
func (j *judge) sources(name string, e *trueEndpoint, end *analysis.Endpoint) {
	want := e.source()
	if want == "" || end == nil {
		return
	}
	outside := j.outside(e, end)
	for _, s := range end.Sources {
		n := s.Share.Samples
		switch s.Kind {
		case want:
			j.line.SourceRight += n
			continue
		case analysis.SourceRequest:
			n -= min(n, outside)
			outside -= s.Share.Samples - n
			if n == 0 {
				continue
			}
			j.line.SourceWrong += n
		case analysis.SourceUnknown:
			j.line.SourceUnknown += n
		default:
			j.line.SourceWrong += n
		}
		stacks := map[string]int64{}
		walk(j.res.Tree, func(x sample) {
			if x.end == end.Name && x.kind() == analysis.CatDecode {
				stacks[callers(x)] += x.n
			}
		})
		j.miss("source", name, n, stacks, "%s, want %s (%s)", said(s), want, e.Source)
	}
}

// outside counts the decode samples of an endpoint that its marked function is
// not on: a framework that decodes the request before it calls the handler. The
// truth speaks of what the handler decodes, so that calling these a request's
// is not wrong.
func (j *judge) outside(e *trueEndpoint, end *analysis.Endpoint) (n int64) {
	if e.marker == "" {
		return 0
	}
	walk(j.res.Tree, func(s sample) {
		if s.end != end.Name || s.kind() != analysis.CatDecode {
			return
		}
		for _, f := range s.path {
			if baseName(f.Func) == e.marker {
				return
			}
		}
		n += s.n
	})
	return n
}

func said(s analysis.Source) string {
	if s.Kind == analysis.SourceUnknown {
		return "unknown"
	}
	return fmt.Sprintf("WRONG %s (%s, by %s)", s.Kind, s.Via, s.Evidence)
}

// callers is a stack from the handler to the codec's entry.
func callers(s sample) string {
	for i, n := range s.path {
		if n.Category == analysis.CatDecode {
			return sample{path: s.path[:i+1]}.String()
		}
	}
	return s.String()
}
