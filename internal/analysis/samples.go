package analysis

import "iter"

// Sample is one call path of the hot pods' CPU profiles with what it was
// attributed to.
type Sample struct {
	Frames   []Frame   // the leaf first; valid until the next sample
	Count    int64     // CPU samples
	Endpoint string    // the endpoint's name; "" outside endpoints
	Work     Direction // what a codec or a compressor did in it; "" for none
}

// Frame is one line of a function.
type Frame struct {
	Func, File string // File is "" when not known
	Start      int64  // the line at which the function starts; 0 when not known
	Line       int64
}

// Samples yields the attributed samples, in the order in which they were read;
// none unless [Options.Samples] asked for them.
func (r *Result) Samples() iter.Seq[*Sample] {
	return func(yield func(*Sample) bool) {
		var out Sample
		if r.paths == nil {
			return
		}
		for s, fs := range r.paths.each(r.cpu) {
			out.Frames = out.Frames[:0]
			for i := len(fs) - 1; i >= 0; i-- {
				f := fs[i]
				out.Frames = append(out.Frames, Frame{f.fn.name, f.fn.file, f.fn.line, f.line})
			}
			out.Count, out.Endpoint, out.Work = s.value, "", s.work.dir.direction()
			if s.end != nil {
				out.Endpoint = s.end.name
			}
			if s.work.io {
				out.Work = ""
			}
			if !yield(&out) {
				return
			}
		}
	}
}
