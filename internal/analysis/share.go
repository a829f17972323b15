package analysis

import (
	"fmt"
	"math"
)

// z95 is the standard normal quantile of a two-sided 95 % interval.
const z95 = 1.959963984540054

// ShareOf is the share k of n with its interval, for counts that are made
// elsewhere of an analysis's samples. It is the zero Share when n is not
// positive, and k is kept between 0 and n.
func ShareOf(k, n int64) Share { return share(k, n) }

// share estimates the proportion k of n with its Wilson score interval
// (Wilson 1927), which stays inside 0 to 1 and is honest at small n where the
// textbook interval is not. Profile samples are not quite independent, so the
// interval is a lower bound of the doubt.
func share(k, n int64) Share {
	if n <= 0 {
		return Share{}
	}
	k = min(max(k, 0), n)
	p, nf := float64(k)/float64(n), float64(n)
	z2 := z95 * z95
	mid := (p + z2/(2*nf)) / (1 + z2/nf)
	half := z95 / (1 + z2/nf) * math.Sqrt(p*(1-p)/nf+z2/(4*nf*nf))
	s := Share{Part: p, Low: max(0, mid-half), High: min(1, mid+half), Samples: k, Of: n}
	// The exact bounds at the ends, which rounding would miss by a hair.
	if k == 0 {
		s.Low = 0
	}
	if k == n {
		s.High = 1
	}
	return s
}

// String renders the share as people read it: "62 % (58-66 %)".
func (s Share) String() string {
	if s.Of == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s-%s)", percent(s.Part), bare(s.Low), percent(s.High))
}

// percent renders 0.62 as "62 %", and below 10 % with one decimal.
func percent(f float64) string { return bare(f) + " %" }

func bare(f float64) string {
	f *= 100
	if f != 0 && f < 9.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}
