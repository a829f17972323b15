package analysis

import (
	"fmt"
	"math"
	"time"
)

// longestProfile is what one CPU profile is asked for at most: beyond it more
// pods are the better way.
const longestProfile = 5 * time.Minute

// advise says how long to profile where there were too few samples: from the
// rate at which they came.
func advise(rep *Report, th Thresholds) {
	for i := range rep.Endpoints {
		e := &rep.Endpoints[i]
		switch e.Verdict.Rule {
		case RuleFewSamples:
			e.Verdict.Next = longer(rep, float64(th.MinSamples)/float64(max(e.Share.Samples, 1)))
		case RuleNone:
			if n := wanted(e.Decode, th.Dominated); e.Verdict.Next != "" && n > e.Decode.Of {
				e.Verdict.Next += " " + longer(rep, float64(n)/float64(e.Decode.Of))
			}
		}
	}
}

// undecided says that a share is above a limit and its interval is not; "" when
// it is decided.
func undecided(e Endpoint, th Thresholds) string {
	if e.Decode.Part <= th.Dominated || wanted(e.Decode, th.Dominated) > 20*e.Decode.Of {
		return ""
	}
	return fmt.Sprintf("Its decoding is above the limit and its interval is not (%s): more samples would decide.", e.Decode)
}

// wanted is how many samples it takes for the lower end of a share's interval
// to reach a limit, if the share stays what it is.
func wanted(s Share, limit float64) int64 {
	d := s.Part - limit
	if d <= 0 {
		return math.MaxInt64
	}
	return int64(math.Ceil(z95 * z95 * limit * (1 - limit) / (d * d)))
}

// longer says for how long, or how many pods, to profile for factor times as
// many samples: "Profile 45 s, or 3 pods."
func longer(rep *Report, factor float64) string {
	pods := max(hotPods(rep), 1)
	seconds := podSeconds(rep) / float64(pods)
	if seconds <= 0 {
		return "Profile longer, or more pods."
	}
	// A tenth more, since as many samples are only expected.
	want := time.Duration(math.Ceil(seconds*factor*1.1/5)) * 5 * time.Second
	morePods := int(math.Ceil(float64(pods) * factor * 1.1))
	window := time.Duration(math.Round(seconds)) * time.Second
	if want <= longestProfile {
		return fmt.Sprintf("Profile %s instead of %s, or %d pods instead of %d.", brief(want), brief(window), morePods, pods)
	}
	return fmt.Sprintf("Profile %s on %d pods.", brief(longestProfile), int(math.Ceil(float64(pods)*want.Seconds()/longestProfile.Seconds())))
}

// brief writes whole seconds as people do: "45 s", "5 min".
func brief(d time.Duration) string {
	if d >= time.Minute && d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
