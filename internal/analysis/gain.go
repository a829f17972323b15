package analysis

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"
)

// Range is an interval, both ends included.
type Range struct {
	Low  float64 `json:"low"`  // at least
	High float64 `json:"high"` // at most
}

// String writes a range of shares: "12-48 %".
func (r Range) String() string {
	if bare(r.Low) == bare(r.High) {
		return percent(r.High)
	}
	return bare(r.Low) + "-" + percent(r.High)
}

// Saving is what one way of sharing would take away.
type Saving struct {
	Endpoint Range `json:"endpoint"` // of the endpoint's CPU, 0 to 1
	// Process is of the process's CPU, with the background GC that the
	// decoding causes, 0 to 1.
	Process Range `json:"process"`
	Cores   Range `json:"cores"` // the same in busy cores, all pods together
}

// Gain is what callers would save on one endpoint if they shared decoded
// values: always a range, since a profile tells what decoding costs and not
// how often callers want the same key.
//
// A decode that takes T, wanted at the rate r for one key, is done once for
// 1 + r·T callers by a shared flight, and once for 1 + r·(T+H) where its result
// is held for H. So of the sharable part f of the CPU a flight saves
// f·(1 - 1/(1+r·T)), and with a hold f·(1 - 1/(1+r·(T+H))). Calls that are
// spread evenly over the keys are the worst case; uneven ones save more.
type Gain struct {
	// Sharable is f: decoding of bytes that are not each caller's own, as a
	// share of the endpoint. SharableOfProcess is the same work as a share of
	// the process, without GC.
	Sharable          Share `json:"sharable"`
	SharableOfProcess Share `json:"sharable_of_process"`
	// GC is the background GC that the sharable decoding causes, as a part of
	// the process's CPU; 0 without allocs profiles.
	GC float64 `json:"gc"`

	// Flight is saved where callers who come together share one load and
	// decode, Hold where the result is kept for HoldTime as well.
	Flight   Saving        `json:"flight"`
	Hold     Saving        `json:"hold"`
	HoldTime time.Duration `json:"hold_time_ns"`

	// Rate and Keys are as they were given: the endpoint's requests a second
	// over all pods, and the keys they ask for; 0 is not known. DecodeTime is
	// T, the CPU time of decoding for one request; 0 without a rate.
	Rate       float64       `json:"requests_per_second,omitempty"`
	Keys       int           `json:"keys,omitempty"`
	DecodeTime time.Duration `json:"decode_time_ns,omitempty"`
	// Inside is how many goroutines were inside the endpoint at one moment,
	// all pods; of k callers at most 1 - 1/k of the decodes go by a flight.
	Inside int64 `json:"inside,omitempty"`

	// Cases are the savings for values of what is not known.
	Cases []GainCase `json:"cases,omitempty"`
	// Assumes are the assumptions, each a sentence. Narrow says what to give
	// to make the ranges narrower; "" when all is known.
	Assumes []string `json:"assumes"`
	Narrow  string   `json:"narrow,omitempty"`

	// Func, File and Line are the place to wrap: the call of the codec.
	Func string `json:"func,omitempty"`
	File string `json:"file,omitempty"`
	Line int64  `json:"line,omitempty"`
}

// GainCase is a [Gain] under an assumption about the keys.
type GainCase struct {
	Keys       int     `json:"keys,omitempty"`               // 0: not what the case is about
	RatePerKey float64 `json:"requests_per_second_per_key"`  // of one process
	Flight     *Range  `json:"flight_of_endpoint,omitempty"` // nil where the case does not tell it
	Hold       Range   `json:"hold_of_endpoint"`             // of the endpoint's CPU
}

// defaultHold is how long a value is held where nothing is said.
const defaultHold = 100 * time.Millisecond

// rates notes the requests that are known with the endpoints.
func (o Options) rates(rep *Report) {
	for i := range rep.Endpoints {
		e := &rep.Endpoints[i]
		r, known := o.Rates[e.Name]
		if !known && o.RateOf != nil {
			r, _ = o.RateOf(e.Name)
		}
		seconds := podSeconds(rep)
		if r <= 0 || seconds <= 0 || rep.Samples == 0 {
			continue
		}
		e.Rate = r
		perSecond := e.Share.Part * rep.CPU.Seconds() / seconds * float64(hotPods(rep))
		e.CPUPerRequest = time.Duration(math.Round(perSecond / r * 1e9))
	}
}

// hotPods is how many pods the shares are of, podSeconds for how long they
// were profiled together.
func hotPods(rep *Report) (n int) {
	for _, p := range rep.Pods {
		if !p.Control {
			n++
		}
	}
	return n
}

func podSeconds(rep *Report) (s float64) {
	for _, p := range rep.Pods {
		if !p.Control {
			s += p.Window.Seconds()
		}
	}
	return s
}

// gains estimates what sharing saves on each endpoint that [RuleCacheDecode]
// flagged.
func gains(rep *Report, opt Options) {
	for i := range rep.Endpoints {
		if e := &rep.Endpoints[i]; e.Verdict.Rule == RuleCacheDecode {
			keys := opt.Keys[e.Name]
			if keys == 0 {
				keys = opt.Keys["*"]
			}
			e.Gain = gainOf(*e, rep, keys, cmp.Or(opt.Hold, defaultHold), opt.Requests)
		}
	}
}

// saved is the part of shared work that goes at the load a: callers for each
// flight beyond its first.
func saved(a float64) float64 { return a / (1 + a) }

func gainOf(e Endpoint, rep *Report, keys int, hold time.Duration, requests float64) *Gain {
	n, _ := sharable(e)
	pods := float64(max(hotPods(rep), 1))
	seconds := podSeconds(rep)
	g := &Gain{
		Sharable: share(n, e.Share.Samples), SharableOfProcess: share(n, rep.Samples),
		HoldTime: hold, Rate: e.Rate, Keys: max(keys, 0), Inside: e.Inside,
	}
	if e.Decode.Samples > 0 {
		g.GC = e.DecodeGC * float64(n) / float64(e.Decode.Samples)
	}
	if c, ok := e.codec(Decode); ok {
		g.Func, g.File, g.Line = c.Caller, c.CallerFile, c.CallerLine
	}
	// busy is how many decodes run at once in one process, on average. The
	// endpoint's rate for one key times T is busy over the keys: no rate is
	// needed for it.
	var busy, cores float64
	if seconds > 0 && rep.Samples > 0 {
		cores = rep.CPU.Seconds() / seconds * pods
		busy = e.Decode.Part * e.Share.Part * cores / pods
	}
	ratePerPod := e.Rate / pods
	if ratePerPod > 0 {
		g.DecodeTime = time.Duration(math.Round(busy / ratePerPod * 1e9))
	}
	// The load before the decode belongs to the flight and is no CPU. At least
	// it takes no time; at most the endpoint's callers all wait in the flight.
	longest := max(busy, float64(e.Inside)/pods)
	most := 1.0
	if k := float64(e.Inside) / pods; k >= 2 {
		most = 1 - 1/k
	} else if e.Inside > 0 {
		most = saved(max(busy, k))
	}
	flight := func(keys float64, knownKeys bool) Range {
		low := 0.0
		if knownKeys {
			low = saved(busy / keys)
		}
		return ordered(g.Sharable.Low*min(low, most), g.Sharable.High*min(saved(longest/keys), most))
	}
	// With a hold the rate for one key counts; ratePerKey 0 is not known.
	held := func(ratePerKey, keys float64) Range {
		low, high := saved(ratePerKey*hold.Seconds()+busy/keys), saved(ratePerKey*hold.Seconds()+longest/keys)
		return ordered(g.Sharable.Low*low, g.Sharable.High*high)
	}
	var inFlight, withHold Range
	const fewestKeys, manyKeys = 1, 1e9
	switch k := float64(g.Keys); {
	case g.Keys > 0 && ratePerPod > 0:
		inFlight, withHold = flight(k, true), held(ratePerPod/k, k)
	case g.Keys > 0:
		inFlight = flight(k, true)
		withHold = Range{inFlight.Low, g.Sharable.High}
		for _, r := range []float64{1, 10, 100, 1000} {
			g.Cases = append(g.Cases, GainCase{RatePerKey: r, Hold: held(r, k)})
		}
	case ratePerPod > 0:
		inFlight = flight(fewestKeys, false)
		withHold = Range{0, held(ratePerPod, fewestKeys).High}
		for _, keys := range []int{1, 10, 100, 1000} {
			f := flight(float64(keys), true)
			g.Cases = append(g.Cases, GainCase{Keys: keys, RatePerKey: ratePerPod / float64(keys), Flight: &f, Hold: held(ratePerPod/float64(keys), float64(keys))})
		}
	default:
		inFlight = flight(fewestKeys, false)
		withHold = Range{0, g.Sharable.High}
		for _, r := range []float64{1, 10, 100, 1000} {
			g.Cases = append(g.Cases, GainCase{RatePerKey: r, Hold: held(r, manyKeys)})
		}
	}
	if g.Rate == 0 && requests > 0 {
		// All requests, all for one key, are the most that there can be.
		withHold.High = max(withHold.Low, min(withHold.High, held(requests/pods, fewestKeys).High))
	}
	g.Flight, g.Hold = g.saving(inFlight, cores), g.saving(withHold, cores)
	g.Assumes, g.Narrow = g.words(e, busy, pods)
	if g.Rate == 0 && requests > 0 {
		g.Assumes = append(g.Assumes, fmt.Sprintf("At most all of the %s requests a second of these pods are its.", thousands(int64(math.Ceil(requests)))))
	}
	return g
}

func ordered(low, high float64) Range { return Range{min(low, high), high} }

// saving carries a range of the endpoint over to the process.
func (g *Gain) saving(r Range, cores float64) Saving {
	of := func(part float64, ofEndpoint, ofProcess float64) float64 {
		if ofEndpoint == 0 {
			return 0
		}
		return min(1, part/ofEndpoint*(ofProcess+g.GC))
	}
	s := Saving{Endpoint: r, Process: Range{
		of(r.Low, g.Sharable.Low, g.SharableOfProcess.Low),
		of(r.High, g.Sharable.High, g.SharableOfProcess.High),
	}}
	s.Cores = Range{s.Process.Low * cores, s.Process.High * cores}
	return s
}

// words says what the ranges assume, and what would narrow them.
func (g *Gain) words(e Endpoint, busy, pods float64) (assumes []string, narrow string) {
	assumes = append(assumes, fmt.Sprintf("%.2g decodes run at once in a process, by its CPU; each key's calls come at random.", busy))
	switch {
	case e.Inside == 1:
		assumes = append(assumes, "The wall time of the load is no CPU: at least it takes none, at most the one request that was seen inside waits in it.")
	case e.Inside > 1:
		assumes = append(assumes, fmt.Sprintf("The wall time of the load is no CPU: at least it takes none, at most all of the %d requests that were seen inside at one moment wait in it.", e.Inside))
	default:
		assumes = append(assumes, "The wall time of the load is no CPU and counts as none: a slow load makes flights longer, which saves more. A goroutine profile would bound it.")
	}
	if g.Keys > 0 {
		assumes = append(assumes, fmt.Sprintf("The calls are spread evenly over %s: uneven ones save more.", plural(g.Keys, "key")))
	}
	if g.Rate > 0 {
		assumes = append(assumes, "Every request decodes once.")
		if pods > 1 {
			assumes = append(assumes, fmt.Sprintf("The requests are spread evenly over %d pods, each with a hold of its own.", int(pods)))
		}
	}
	if g.GC > 0 {
		assumes = append(assumes, fmt.Sprintf("The background GC of the decoding (%s of the CPU, by bytes) goes with it.", percent(g.GC)))
	}
	var give []string
	if g.Rate == 0 {
		give = append(give, fmt.Sprintf("its requests a second (--rate '%s=1200/s')", e.Name))
	}
	if g.Keys == 0 {
		give = append(give, "how many keys are hot (--keys 50)")
	}
	if len(give) > 0 {
		narrow = "Give " + strings.Join(give, " and ") + " to narrow this."
	}
	return assumes, narrow
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", thousands(int64(n)), noun)
}

func areKeys(n int) string {
	if n == 1 {
		return "1 key is"
	}
	return thousands(int64(n)) + " keys are"
}

// String says the gain in one or two sentences.
func (g *Gain) String() string {
	line := fmt.Sprintf("Sharing in flight alone would save %s of the endpoint's CPU", g.Flight.Endpoint)
	hold := fmt.Sprintf("with a hold of %s", g.HoldTime)
	if len(g.Cases) == 0 {
		return fmt.Sprintf("%s, %s %s: %s of the process, %s.", line, hold, g.Hold.Endpoint, g.Hold.Process, g.Hold.cores())
	}
	var parts []string
	for _, c := range g.Cases {
		if c.Keys > 0 {
			parts = append(parts, fmt.Sprintf("%s if %s hot", c.Hold, areKeys(c.Keys)))
		} else {
			parts = append(parts, fmt.Sprintf("%s at %s/s", c.Hold, thousands(int64(c.RatePerKey))))
		}
	}
	if g.Cases[0].Keys == 0 {
		hold += ", by the requests for one key,"
	}
	return fmt.Sprintf("%s, %s %s; of the process at most %s.", line, hold, strings.Join(parts, ", "), percent(g.Hold.Process.High))
}

// cores writes the cores of a saving: "0.58-0.64 cores".
func (s Saving) cores() string {
	low, high := fmt.Sprintf("%.2g", s.Cores.Low), fmt.Sprintf("%.2g", s.Cores.High)
	if low == high {
		return high + " cores"
	}
	return low + "-" + high + " cores"
}

// holdOf is the hold that an endpoint's gain is of.
func holdOf(e Endpoint) time.Duration {
	if e.Gain == nil {
		return defaultHold
	}
	return e.Gain.HoldTime
}
