package slacktest

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

//go:embed page.html page.css page.js
var assets embed.FS

var pageTemplate = template.Must(template.ParseFS(assets, "page.html"))

// policy lets the page load what it is made of and nothing else: messages
// hold texts from anywhere.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// pageWait is how long a page waits for news in one request.
const pageWait = 20 * time.Second

// Page serves the workspace as people see it: "/" is a channel with its
// threads, "/home" the app's home; both follow what happens. It needs no login.
// What it takes in is [Server.serveDeed]'s.
func (s *Server) Page() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /home", s.servePage)
	mux.HandleFunc("POST /do/{deed}", s.serveDeed)
	mux.HandleFunc("GET /files/{id}", s.serveFile)
	mux.HandleFunc("GET /changes", s.serveChanges)
	for _, name := range []string{"page.css", "page.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, assets, name) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with less, a form does not say where it is from
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
		Me            string // the viewer's name; "" for nobody
		Acts          bool   // the viewer can click and type
		AtHome        bool
		Home          template.HTML // "" for none
		Modal         *modalView    // nil for none
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
		Acts    bool
	}
	messageView struct {
		Channel, TS, Who, Initial string
		App, Edited               bool
		Broadcast                 bool
		Private                   bool // only the viewer sees it
		Acts                      bool // its buttons can be clicked
		Color                     int  // of a person's avatar, 0 to 5
		Time                      time.Time
		Body                      template.HTML
		Files                     []fileView
	}
	fileView struct {
		ID, Name, Title string
		Image           bool
	}
	modalView struct {
		ID, Title, Submit, Close string
		Body                     template.HTML
		Errors                   []string
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
	me := s.opt.Viewer
	v := pageView{
		Team: s.opt.Team, BotName: s.opt.BotName, Channel: *c, Version: version, AtHome: r.URL.Path == "/home",
		Acts: me != "" && !r.Form.Has("still"), // a page to keep takes nothing
	}
	for _, o := range s.opt.Channels {
		v.Channels = append(v.Channels, channelView{o, o.ID == c.ID && !v.AtHome})
	}
	if me != "" {
		v.Me, v.Modal = s.name(me), s.modalView(v.Acts)
	}
	if v.AtHome {
		v.Home = s.writer(v.Acts).blocks(s.HomeOf(me).content().Blocks).html()
	} else {
		v.Days = s.days(c.ID, v.Acts)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, v); err != nil {
		http.Error(w, fmt.Sprintf("render page: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(out.Bytes())
}

// maxPrivate is how many of the answers to the viewer alone are shown: in Slack
// they vanish sooner or later.
const maxPrivate = 8

// days are a channel's threads, and what only the viewer sees between them.
func (s *Server) days(channel string, acts bool) []dayView {
	private := map[string][]messageView{} // by thread; "" for the channel itself
	seen := s.Ephemerals()
	for _, e := range seen[max(0, len(seen)-maxPrivate):] {
		if e.Channel == channel && e.User == s.opt.Viewer {
			v := s.messageView(Message{Channel: channel, TS: e.TS, User: s.opt.BotUser, Text: e.Text, Blocks: e.Blocks}, false)
			v.Private = true
			private[e.ThreadTS] = append(private[e.ThreadTS], v)
		}
	}
	byTime := func(a, b messageView) int { return compareTS(a.TS, b.TS) }
	var threads []threadView
	for _, m := range s.Messages(channel) {
		thread := s.Thread(channel, m.TS)
		if len(thread) == 0 {
			continue // deleted in between
		}
		t := threadView{Root: s.messageView(thread[0], acts), Acts: acts}
		for _, reply := range thread[1:] {
			t.Replies = append(t.Replies, s.messageView(reply, acts))
		}
		t.Replies = append(t.Replies, private[m.TS]...)
		slices.SortStableFunc(t.Replies, byTime)
		threads = append(threads, t)
	}
	for _, v := range private[""] {
		threads = append(threads, threadView{Root: v})
	}
	slices.SortStableFunc(threads, func(a, b threadView) int { return byTime(a.Root, b.Root) })
	var days []dayView
	for _, t := range threads {
		if day := t.Root.Time.Format("Monday, 2 January"); len(days) == 0 || days[len(days)-1].Name != day {
			days = append(days, dayView{Name: day})
		}
		last := &days[len(days)-1]
		last.Threads = append(last.Threads, t)
	}
	return days
}

func (s *Server) writer(acts bool) *markupWriter { return &markupWriter{name: s.called, acts: acts} }

func (s *Server) messageView(m Message, acts bool) messageView {
	v := messageView{
		Channel: m.Channel, TS: m.TS, Who: s.name(m.User), App: m.User == s.opt.BotUser, Edited: m.Edits > 0, Broadcast: m.Broadcast,
		Acts: acts, Time: when(m.TS).UTC(),
	}
	first, _ := utf8.DecodeRuneInString(v.Who)
	v.Initial = string(first)
	for _, b := range []byte(v.Who) {
		v.Color = (v.Color + int(b)) % 6
	}
	w := s.writer(acts)
	if blocks := m.blocks(); len(blocks) > 0 {
		w.blocks(blocks)
	} else if m.Text != "" {
		w.tag(`<div class="section">`)
		w.mrkdwn(m.Text)
		w.tag("</div>")
	}
	v.Body = w.html()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range m.Files {
		if f := s.fileLocked(id); f != nil {
			v.Files = append(v.Files, fileView{f.ID, f.Name, f.Title, isImage(f.Data)})
		}
	}
	return v
}

func (s *Server) modalView(acts bool) *modalView {
	open := s.Modal(s.opt.Viewer)
	if open.ID == "" {
		return nil
	}
	c := open.content()
	return &modalView{
		ID: open.ID, Title: c.Title.caption(), Submit: c.Submit.caption(), Close: cmp.Or(c.Close.caption(), "Close"),
		Body: s.writer(acts).blocks(c.Blocks).html(), Errors: s.Wrong(open.ID),
	}
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
