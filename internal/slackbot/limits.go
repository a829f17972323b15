package slackbot

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Limits are how many captures may be asked for in an hour.
type Limits struct {
	User    int // by one person; 0 means 20, below 0 any number
	Service int // of one service, by all together; 0 means 12, below 0 any number
}

// limiter counts what was begun within the last hour. It begins with what the
// audit log has, so a restart forgives nothing.
type limiter struct {
	mu   sync.Mutex // protects both
	read bool       // the audit log
	past map[string][]time.Time
}

const (
	limitOver = time.Hour
	limitRead = 1000 // deeds: far more than an hour has
)

// take counts one capture, or says that there were too many and when one is
// possible again. What comes to nothing is given back.
func (d *Desk) take(ctx context.Context, user, service string) (giveBack func(), err error) {
	l, now := &d.limits, d.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.read {
		deeds, err := d.back.Deeds(ctx, limitRead)
		if err != nil {
			return nil, fmt.Errorf("profbot could not read its audit log, which says how much was profiled within the hour: %w", err)
		}
		l.past = map[string][]time.Time{}
		for _, deed := range deeds {
			if deed.Incident != "" && deed.Refused == "" {
				l.add(deed.User, deed.Service, deed.At)
			}
		}
		l.read = true
	}
	for key, times := range l.past {
		if times = after(times, now.Add(-limitOver)); len(times) == 0 {
			delete(l.past, key)
		} else {
			l.past[key] = times
		}
	}
	for _, c := range []struct {
		key, says string
		most      int
	}{
		{"user " + user, "You have asked for %s within the hour", d.opt.Limits.User},
		{"service " + service, "People have asked for %s of this service within the hour", d.opt.Limits.Service},
	} {
		times := l.past[c.key]
		if c.most < 0 || len(times) < c.most {
			continue
		}
		free := times[len(times)-c.most].Add(limitOver) // when one of them is an hour old
		return nil, refuse(words(fmt.Sprintf(c.says+", and the limit is %d. The next is possible at ", count(len(times), "capture"), c.most)), clock(free),
			words(fmt.Sprintf(", in %s. See what there is already: /profbot history %s", soon(free.Sub(now)), service)))
	}
	l.add(user, service, now)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range []string{"user " + user, "service " + service} {
			for i, t := range l.past[key] {
				if t.Equal(now) {
					l.past[key] = append(l.past[key][:i:i], l.past[key][i+1:]...)
					break
				}
			}
		}
	}, nil
}

// add counts one. Must be called with mu held.
func (l *limiter) add(user, service string, at time.Time) {
	for _, key := range []string{"user " + user, "service " + service} {
		times := l.past[key]
		i := len(times)
		for i > 0 && times[i-1].After(at) { // the audit log is newest first
			i--
		}
		l.past[key] = append(times[:i:i], append([]time.Time{at}, times[i:]...)...)
	}
}

// after drops the times up to one.
func after(times []time.Time, t time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(t) {
		times = times[1:]
	}
	return times
}

// soon writes a span of time in its largest unit: "12 min".
func soon(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, int((d+time.Second-1)/time.Second)))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int((d+time.Minute-1)/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int((d+time.Hour/2)/time.Hour))
	}
	return fmt.Sprintf("%d days", int((d+12*time.Hour)/(24*time.Hour)))
}
