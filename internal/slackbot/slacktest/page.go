package slacktest

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

//go:embed page.html page.css page.js
var assets embed.FS

var pageTemplate = template.Must(template.ParseFS(assets, "page.html"))

// policy lets the page load what it is made of and nothing else: messages
// hold texts from anywhere.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageWait is how long a page waits for news in one request.
const pageWait = 20 * time.Second

// Page serves the workspace as people see it: "/" is a channel with its
// threads, which follows what happens. It needs no login and takes no input.
func (s *Server) Page() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /files/{id}", s.serveFile)
	mux.HandleFunc("GET /changes", s.serveChanges)
	for _, name := range []string{"page.css", "page.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, assets, name) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// What the template shows.
type (
	pageView struct {
		Team, BotName string
		Channels      []channelView
		Channel       Channel
		Version       int
		Days          []dayView
	}
	channelView struct {
		Channel
		Current bool
	}
	dayView struct {
		Name    string
		Threads []threadView
	}
	threadView struct {
		Root    messageView
		Replies []messageView
	}
	messageView struct {
		TS, Who, Initial string
		App, Edited      bool
		Broadcast        bool
		Color            int // of a person's avatar, 0 to 5
		Time             time.Time
		Body             template.HTML
		Files            []fileView
	}
	fileView struct {
		ID, Name, Title string
		Image           bool
	}
)

func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("channel")
	if id == "" && len(s.opt.Channels) > 0 {
		id = s.opt.Channels[0].ID
	}
	c := s.channel(id)
	if c == nil {
		http.Error(w, "no such channel", http.StatusNotFound)
		return
	}
	s.mu.Lock()
	s.settleLocked()
	version := s.version
	s.mu.Unlock()
	v := pageView{Team: s.opt.Team, BotName: s.opt.BotName, Channel: *c, Version: version}
	for _, o := range s.opt.Channels {
		v.Channels = append(v.Channels, channelView{o, o.ID == c.ID})
	}
	for _, m := range s.Messages(c.ID) {
		thread := s.Thread(c.ID, m.TS)
		if len(thread) == 0 {
			continue // deleted in between
		}
		t := threadView{Root: s.messageView(thread[0])}
		for _, reply := range thread[1:] {
			t.Replies = append(t.Replies, s.messageView(reply))
		}
		if day := t.Root.Time.Format("Monday, 2 January"); len(v.Days) == 0 || v.Days[len(v.Days)-1].Name != day {
			v.Days = append(v.Days, dayView{Name: day})
		}
		last := &v.Days[len(v.Days)-1]
		last.Threads = append(last.Threads, t)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, v); err != nil {
		http.Error(w, fmt.Sprintf("render page: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(out.Bytes())
}

func (s *Server) messageView(m Message) messageView {
	v := messageView{TS: m.TS, Who: m.User, App: m.User == s.opt.BotUser, Edited: m.Edits > 0, Broadcast: m.Broadcast, Time: when(m.TS).UTC()}
	if v.App {
		v.Who = s.opt.BotName
	}
	first, _ := utf8.DecodeRuneInString(v.Who)
	v.Initial = string(first)
	for _, b := range []byte(v.Who) {
		v.Color = (v.Color + int(b)) % 6
	}
	if blocks := m.blocks(); len(blocks) > 0 {
		for _, n := range blocks {
			v.Body += blockHTML(n)
		}
	} else if m.Text != "" {
		v.Body = `<div class="section">` + mrkdwnHTML(m.Text) + `</div>`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range m.Files {
		if f := s.fileLocked(id); f != nil {
			v.Files = append(v.Files, fileView{f.ID, f.Name, f.Title, isImage(f.Data)})
		}
	}
	return v
}

// serveFile serves a picture; other files are not for browsers.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := s.fileLocked(r.PathValue("id"))
	var data []byte
	if f != nil && f.Shares > 0 {
		data = f.Data // never changed after the upload
	}
	s.mu.Unlock()
	if data == nil || !isImage(data) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", http.DetectContentType(data))
	w.Write(data)
}

// serveChanges answers 200 when the workspace differs from the version that
// the page shows, 204 when it does not within pageWait.
func (s *Server) serveChanges(w http.ResponseWriter, r *http.Request) {
	seen, err := strconv.Atoi(r.FormValue("version"))
	if err != nil {
		http.Error(w, "version is not a number", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	version, changed := s.version, s.changed
	s.mu.Unlock()
	if version == seen {
		timer := time.NewTimer(pageWait)
		defer timer.Stop()
		select {
		case <-changed:
		case <-timer.C:
			w.WriteHeader(http.StatusNoContent)
			return
		case <-r.Context().Done():
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}
