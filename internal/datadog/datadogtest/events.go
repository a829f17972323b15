package datadogtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Event is an event that was posted.
type Event struct {
	ID             int64
	Title, Text    string
	AggregationKey string
	AlertType      string
	Tags           []string
	Happened       time.Time
	posted         time.Time
}

// Events lists the events, in the order in which they were posted.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *Server) createEvent(c call) reply {
	var b struct {
		Title          *string  `json:"title"`
		Text           *string  `json:"text"`
		AggregationKey string   `json:"aggregation_key"`
		AlertType      string   `json:"alert_type"`
		DateHappened   *int64   `json:"date_happened"`
		DeviceName     string   `json:"device_name"`
		Host           string   `json:"host"`
		Priority       *string  `json:"priority"`
		RelatedEventID *int64   `json:"related_event_id"`
		SourceTypeName string   `json:"source_type_name"`
		Tags           []string `json:"tags"`
	}
	if words := decode(c.body, &b); words != "" {
		return refuse(words)
	}
	now := s.opt.Now()
	happened := now
	if b.DateHappened != nil {
		happened = time.Unix(*b.DateHappened, 0)
	}
	switch {
	case b.Title == nil || *b.Title == "":
		return refuse("title is required")
	case b.Text == nil || *b.Text == "":
		return refuse("text is required")
	case utf8.RuneCountInString(*b.Text) > 4000:
		return refuse("text is limited to 4000 characters")
	case utf8.RuneCountInString(*b.Title) > 500 || strings.ContainsAny(*b.Title, "\r\n"):
		return refuse("title is limited to 500 characters on one line")
	case utf8.RuneCountInString(b.AggregationKey) > 100:
		return refuse("aggregation_key is limited to 100 characters")
	case !slices.Contains([]string{"", "error", "warning", "info", "success", "user_update", "recommendation", "snapshot"}, b.AlertType):
		return refuse(fmt.Sprintf("alert_type %q is not valid", b.AlertType))
	case b.Priority != nil && *b.Priority != "normal" && *b.Priority != "low":
		return refuse(fmt.Sprintf("priority %q is not valid", *b.Priority))
	case !slices.Contains([]string{"", "my_apps", "nagios", "hudson", "jenkins", "chef", "puppet", "git", "bitbucket"}, b.SourceTypeName):
		return refuse(fmt.Sprintf("source_type_name %q is not in the list", b.SourceTypeName))
	case happened.Before(now.Add(-18 * time.Hour)):
		return refuse("Event too far in the past")
	case happened.After(now.Add(10 * time.Minute)):
		return refuse("Event too far in the future") // milliseconds, for instance
	}
	if words := badTags(b.Tags); words != "" {
		return refuse(words)
	}
	s.mu.Lock()
	e := Event{
		ID: s.nextID(), Title: *b.Title, Text: *b.Text, AggregationKey: b.AggregationKey, AlertType: b.AlertType,
		Tags: b.Tags, Happened: happened, posted: now,
	}
	s.events = append(s.events, e)
	s.mu.Unlock()
	return reply{http.StatusAccepted, map[string]any{"status": "ok", "event": map[string]any{
		"id": e.ID, "id_str": fmt.Sprint(e.ID), "title": e.Title, "text": e.Text, "date_happened": happened.Unix(), "handle": nil,
		"priority": b.Priority, "related_event_id": nil, "tags": e.Tags, "url": fmt.Sprintf("https://app.datadoghq.com/event/event?id=%d", e.ID),
	}}}
}

// badTags says what is wrong with tags; "" when nothing is.
func badTags(tags []string) string {
	if len(tags) > 100 {
		return "tags are limited to 100"
	}
	for _, t := range tags {
		if utf8.RuneCountInString(t) > 200 || !tagForm.MatchString(t) || t != strings.ToLower(t) {
			return fmt.Sprintf("%q is not a valid tag", t)
		}
	}
	return ""
}

func (s *Server) listEvents(c call) reply {
	v := c.URL.Query()
	for key := range v {
		if !slices.Contains([]string{"start", "end", "priority", "sources", "tags", "unaggregated", "exclude_aggregate", "page"}, key) {
			return refuse("unknown parameter " + key)
		}
	}
	start, ok1 := seconds(v, "start")
	end, ok2 := seconds(v, "end")
	if !ok1 || !ok2 {
		return refuse("start and end must be POSIX timestamps in seconds")
	}
	if start >= end {
		return refuse("start param must be greater than end param") // Datadog's words
	}
	if end-start > 32*24*3600 {
		return refuse("the time range is too long")
	}
	var want []string
	if t := v.Get("tags"); t != "" {
		want = strings.Split(t, ",")
	}
	now := s.opt.Now()
	list, keys := []any{}, map[string]bool{}
	for _, e := range slices.Backward(s.Events()) {
		at := e.Happened.Unix()
		missing := slices.ContainsFunc(want, func(t string) bool { return !slices.Contains(e.Tags, t) })
		folded := v.Get("unaggregated") != "true" && e.AggregationKey != "" && keys[e.AggregationKey]
		if missing || folded || at < start || at > end || now.Before(e.posted.Add(s.opt.Lag)) {
			continue
		}
		keys[e.AggregationKey] = true
		list = append(list, map[string]any{
			"monitor_groups": []any{}, "date_happened": at, "alert_type": e.AlertType, "is_aggregate": false, "title": e.Title,
			"url": fmt.Sprintf("/event/event?event_id=%d", e.ID), "text": e.Text, "tags": e.Tags, "comments": []any{}, "device_name": nil,
			"priority": "normal", "source": "My Apps", "host": nil, "id_str": fmt.Sprint(e.ID), "resource": fmt.Sprintf("/api/v1/events/%d", e.ID),
			"monitor_id": nil, "id": e.ID, "monitor_group_status": nil,
		})
	}
	return reply{http.StatusOK, map[string]any{"events": list}}
}
