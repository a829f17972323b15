package datadog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	v1 "github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/profbot/profbot/internal/incident"
)

// The limits of an event. Those of text, key and age are in the API's
// reference; titles longer than 100 characters were seen to be accepted, and
// 500 is the limit of version 2. Characters are counted as bytes, which is on
// the safe side.
const (
	maxTitle = 500
	maxText  = 4000
	maxKey   = 100
	maxTag   = 200
	maxAge   = 18*time.Hour - 10*time.Minute
)

// listedWithin is how long an event may take to be listed: some 25 seconds
// were seen. Before that, finding none says nothing.
const listedWithin = 30 * time.Second

// incidentTag is the tag that an incident's event is found by.
const incidentTag = "profbot_incident:"

// PostEvent puts a verdict on the timeline, where the monitor's own events
// are: with the tags service, env and monitor_id, and one of the incident.
//
// With look it looks first whether the incident's event is there, and then
// does nothing. An event takes a while to be listed: when there is none, the
// first look fails with an error whose RetryAfter says when to call again, and
// one that is 30 seconds later posts. Nothing waits in here: a call takes 20
// seconds at most, and without look 10.
//
// It never repeats the posting by itself: after an error the event may have
// been posted or not, and the next call should look. Events with one
// incident's aggregation key are shown as one by Datadog whatever happens.
//
// The time is left out, and so becomes that of the call, where Datadog would
// refuse it as older than 18 hours. Titles above 500 and texts above 4,000
// bytes are cut.
func (c *Client) PostEvent(ctx context.Context, e incident.Event, look bool) error {
	if e.Incident == "" || strings.TrimSpace(e.Title) == "" {
		return errors.New("post the event to Datadog: it has no incident or no title")
	}
	if look {
		there, err := c.posted(ctx, e)
		if err != nil || there {
			return err
		}
	}
	now := c.opt.Now()
	body := v1.NewEventCreateRequest(eventText(e), cut(oneLine(e.Title), maxTitle))
	body.SetAggregationKey(cut("profbot:"+oneLine(e.Incident), maxKey))
	body.SetAlertType(v1.EVENTALERTTYPE_INFO)
	body.SetTags(eventTags(e))
	if age := now.Sub(e.At); !e.At.IsZero() && age >= 0 && age < maxAge {
		body.SetDateHappened(e.At.Unix())
	}
	op := operation{name: "CreateEvent", doing: "post the event to Datadog"}
	_, err := call(ctx, c, op, func(ctx context.Context) (v1.EventCreateResponse, *http.Response, error) {
		return v1.NewEventsApi(c.writer).CreateEvent(ctx, *body)
	})
	return err
}

// posted looks for the incident's event.
func (c *Client) posted(ctx context.Context, e incident.Event) (bool, error) {
	tag, now := eventTag(incidentTag, e.Incident), c.opt.Now()
	start := now.Add(-24 * time.Hour)
	if !e.At.IsZero() && e.At.After(start) && e.At.Before(now) {
		start = e.At.Add(-time.Hour) // clocks differ
	}
	op := operation{name: "ListEvents", doing: "look for the event at Datadog", permission: "events_read"}
	list, err := call(ctx, c, op, func(ctx context.Context) (v1.EventListResponse, *http.Response, error) {
		return c.events.ListEvents(ctx, start.Unix(), now.Add(time.Hour).Unix(),
			*v1.NewListEventsOptionalParameters().WithTags(tag).WithUnaggregated(true))
	})
	if err != nil {
		return false, err
	}
	there := slices.ContainsFunc(list.GetEvents(), func(have v1.Event) bool { return slices.Contains(have.GetTags(), tag) })
	if wait := c.looks.wait(tag, now); wait > 0 && !there {
		return false, fmt.Errorf("%s: %w", op.doing, later{wait, fmt.Sprintf("none is listed, which is sure in %s only", wait)})
	}
	c.looks.done(tag)
	return there, nil
}

// looks remembers since when events are looked for. The zero value knows none.
// What is forgotten is looked for a little longer, and nothing else.
type looks struct {
	mu    sync.Mutex // protects the field below
	since map[string]time.Time
}

// wait is how long until not finding the tag's event says that there is none.
func (l *looks) wait(tag string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, ok := l.since[tag]
	if !ok {
		if l.since == nil || len(l.since) >= maxCached {
			l.since = map[string]time.Time{}
		}
		l.since[tag], since = now, now
	}
	return max(0, since.Add(listedWithin).Sub(now))
}

func (l *looks) done(tag string) { l.mu.Lock(); delete(l.since, tag); l.mu.Unlock() }

// eventText is the text in Markdown, which Datadog wants marked, with the link
// at its end. What is too long is cut before the link.
func eventText(e incident.Event) string {
	const begin, end = "%%% \n", "\n %%%"
	text, link := strings.TrimSpace(strings.ToValidUTF8(e.Text, "\uFFFD")), ""
	if e.URL != "" && len(e.URL) <= maxText/2 {
		link = fmt.Sprintf("\n\n[Report](%s)", unmarked(strings.NewReplacer(" ", "%20", "(", "%28", ")", "%29", "\n", "").Replace(strings.ToValidUTF8(e.URL, ""))))
	}
	if text == "" && link == "" {
		text = oneLine(e.Title) // a text is required
	}
	// Two spaces keep a line's end, which Markdown would fold.
	text = strings.ReplaceAll(unmarked(text), "\n", "  \n")
	return begin + cut(text, maxText-len(begin)-len(end)-len(link)) + link + end
}

// unmarked is s without the mark of Markdown, which would end it early.
func unmarked(s string) string {
	for strings.Contains(s, "%%%") {
		s = strings.ReplaceAll(s, "%%%", "%")
	}
	return s
}

// eventTags are an event's tags. Values that cannot be tags are left out, but
// for the incident, which the event is found by.
func eventTags(e incident.Event) []string {
	tags := []string{"source:profbot", eventTag(incidentTag, e.Incident)}
	for _, t := range []struct{ key, value string }{{"service:", e.Key.Service}, {"env:", e.Key.Env}, {"monitor_id:", e.Key.Monitor}} {
		if tagValue.MatchString(t.value) {
			tags = append(tags, eventTag(t.key, t.value))
		}
	}
	return tags
}

// eventTag is a tag as Datadog keeps it: in lower case, with _ for what is not
// allowed, and not too long.
func eventTag(key, value string) string {
	tag := key + strings.Map(func(r rune) rune {
		if tagValue.MatchString(string(r)) {
			return r
		}
		return '_'
	}, strings.ToLower(value))
	return strings.ToValidUTF8(tag[:min(len(tag), maxTag)], "")
}

// oneLine folds white space.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
}

// cut shortens s to n bytes, with an ellipsis, and never within a character.
func cut(s string, n int) string {
	const dots = "…"
	if len(s) <= n {
		return s
	}
	s = s[:max(n-len(dots), 0)]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + dots
}
