package slacktest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	maxDeed  = 64 << 10 // bytes of what a page's form says
	deedTime = 10 * time.Second
)

// serveDeed does what was clicked or typed on the page, as the viewer. It takes
// that from the page itself only: other sites can send forms here too.
func (s *Server) serveDeed(w http.ResponseWriter, r *http.Request) {
	if s.opt.Viewer == "" || r.Header.Get("Origin") != s.url {
		http.Error(w, "only this workspace's own page may do that", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxDeed)
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), deedTime, errors.New("the app has no open socket"))
	defer cancel()
	if err := s.do(ctx, r); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	next := "/"
	if c := s.channel(r.PostForm.Get("channel")); c != nil {
		next = "/?channel=" + c.ID
	}
	if r.PostForm.Has("home") {
		next = "/home"
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *Server) do(ctx context.Context, r *http.Request) error {
	me, form := s.opt.Viewer, r.PostForm
	switch r.PathValue("deed") {
	case "home":
		return s.OpenHome(ctx, me)
	case "write":
		text := strings.TrimSpace(form.Get("text"))
		if typed, ok := strings.CutPrefix(text+" ", "/"+s.opt.BotName+" "); ok && form.Get("thread") == "" {
			return s.Type(ctx, me, form.Get("channel"), strings.TrimSpace(typed))
		}
		if s.channel(form.Get("channel")) == nil || text == "" {
			return errors.New("there is nothing to say, or no channel to say it in")
		}
		_, err := s.Write(ctx, me, form.Get("channel"), form.Get("thread"), text)
		return err
	case "click":
		if form.Has("home") {
			return s.ClickHome(ctx, me, form.Get("action"))
		}
		return s.Click(ctx, me, form.Get("channel"), form.Get("ts"), form.Get("action"))
	case "submit":
		return s.Submit(ctx, me, form.Get("view"), form)
	case "close":
		s.CloseModal(me)
		return nil
	}
	return errors.New("the page does not do that")
}
