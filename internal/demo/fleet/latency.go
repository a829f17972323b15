package fleet

import (
	"math"
	"sync/atomic"
	"time"
)

// latencies counts durations in buckets, each 15 % wider than the one before:
// 120 buckets reach from 20 µs to over five minutes, far above the time limit
// of a request. Safe for use by several goroutines.
type latencies [120]atomic.Int64

const (
	firstBucket = 20 * time.Microsecond
	bucketStep  = 1.15
)

func (l *latencies) add(d time.Duration) {
	i := 0
	if d > firstBucket {
		i = int(math.Ceil(math.Log(float64(d)/float64(firstBucket)) / math.Log(bucketStep)))
	}
	l[min(i, len(l)-1)].Add(1)
}

// quantile is the upper bound of the bucket in which the part q of all
// durations is reached: up to 15 % too long. 0 without any.
func (l *latencies) quantile(q float64) time.Duration {
	var counts [len(l)]int64 // one reading, while others add
	var all int64
	for i := range l {
		counts[i] = l[i].Load()
		all += counts[i]
	}
	if all == 0 {
		return 0
	}
	left := int64(math.Ceil(q * float64(all)))
	for i, n := range counts {
		if left -= n; left <= 0 {
			return time.Duration(float64(firstBucket) * math.Pow(bucketStep, float64(i)))
		}
	}
	panic("unreachable: the counts add up to all")
}
