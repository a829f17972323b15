package slacktest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// processing is how long a completed file takes to show by itself; a caller
// that polls files.info sees it at the second look.
const processing = 3 * time.Second

// maxFile is the largest file that is taken.
const maxFile = 64 << 20

// file is a file with what only the workspace knows about it.
type file struct {
	File
	length  int
	secret  string // in its upload address
	altText bool   // uploaded with alt_txt, which Slack never shares
	pending []*pendingShare
	shares  []fileShare
	public  bool
}

// pendingShare is a completed upload that is still being processed.
type pendingShare struct {
	channel, thread string
	at              time.Time
	looks           int
}

type fileShare struct{ channel, thread, ts string }

// settleLocked shows the files that were processed by now. Must be called with mu held.
func (s *Server) settleLocked() {
	for _, f := range s.files {
		f.pending = slices.DeleteFunc(f.pending, func(p *pendingShare) bool {
			if s.lose || f.altText || (p.looks < 2 && s.opt.Now().Sub(p.at) < processing) {
				return false
			}
			ts := s.addLocked(&Message{Channel: p.channel, ThreadTS: p.thread, User: s.opt.BotUser, Files: []string{f.ID}})
			f.shares = append(f.shares, fileShare{p.channel, p.thread, ts})
			f.Shares++
			return true
		})
	}
}

func (s *Server) fileLocked(id string) *file {
	for _, f := range s.files {
		if f.ID == id {
			return f
		}
	}
	return nil
}

func (s *Server) filesGetUploadURL(form url.Values) (answer, string) {
	length, err := strconv.Atoi(form.Get("length"))
	if form.Get("filename") == "" || err != nil || length < 1 {
		return nil, "invalid_arguments"
	}
	if length > maxFile {
		return nil, "file_upload_size_restricted"
	}
	s.lastFile++
	f := &file{File: File{ID: fmt.Sprintf("F0FILE%05d", s.lastFile), Name: form.Get("filename")}, length: length, secret: rand.Text(), altText: form.Get("alt_txt") != ""}
	s.files = append(s.files, f)
	return answer{"upload_url": s.url + "/upload/" + f.secret, "file_id": f.ID}, ""
}

// serveUpload takes the bytes of a file. The address is the permission.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	fault, ok := s.begin(w, "upload", "")
	if !ok {
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFile))
	if err != nil {
		http.Error(w, "could not read", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.files, func(f *file) bool { return f.secret == r.PathValue("secret") })
	status, text := http.StatusOK, fmt.Sprintf("OK - %d", len(data))
	switch {
	case i < 0:
		status, text = http.StatusNotFound, "no such upload"
	case r.ContentLength < 0:
		status, text = http.StatusLengthRequired, "length required"
	case len(data) != s.files[i].length:
		status, text = http.StatusBadRequest, fmt.Sprintf("got %d bytes, announced %d", len(data), s.files[i].length)
	case s.files[i].Data != nil:
		status, text = http.StatusConflict, "already uploaded"
	default:
		s.files[i].Data = data
		s.changeLocked()
	}
	s.mu.Unlock()
	s.end(w, r, "upload", fault)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// filesComplete shares an uploaded file. Completing a file again shares it
// again, so that a caller who does so is found out.
func (s *Server) filesComplete(form url.Values) (answer, string) {
	var files []struct{ ID, Title string }
	if json.Unmarshal([]byte(form.Get("files")), &files) != nil || len(files) == 0 {
		return nil, "invalid_arguments"
	}
	var target *pendingShare
	if id := form.Get("channel_id"); id != "" {
		c, code := s.writable(id)
		if code != "" {
			return nil, code
		}
		thread := form.Get("thread_ts")
		if thread != "" && s.messageLocked(c.ID, thread) == nil {
			return nil, "invalid_thread_ts"
		}
		target = &pendingShare{channel: c.ID, thread: thread, at: s.opt.Now()}
	}
	out := []answer{}
	for _, want := range files {
		f := s.fileLocked(want.ID)
		if f == nil || f.Data == nil {
			return nil, "file_not_found"
		}
		f.Title = want.Title
		if target != nil {
			p := *target
			f.pending = append(f.pending, &p)
			f.public = !s.channel(p.channel).Private
		}
		out = append(out, answer{"id": f.ID, "title": f.Title})
	}
	s.changeLocked()
	return answer{"files": out}, ""
}

// filesInfo tells what Slack knows so far: a file that is still being
// processed has neither a type nor shares.
func (s *Server) filesInfo(form url.Values) (answer, string) {
	f := s.fileLocked(form.Get("file"))
	if f == nil || (len(f.pending) == 0 && len(f.shares) == 0) {
		return nil, "file_not_found"
	}
	for _, p := range f.pending {
		p.looks++
	}
	s.settleLocked()
	shares := map[string][]answer{}
	for _, sh := range f.shares {
		shares[sh.channel] = append(shares[sh.channel], answer{"ts": sh.ts, "thread_ts": sh.thread})
	}
	info := answer{"id": f.ID, "name": f.Name, "title": f.Title, "size": len(f.Data), "mimetype": "", "shares": answer{}}
	if len(f.shares) > 0 {
		info["mimetype"] = http.DetectContentType(f.Data)
		kind := "private"
		if f.public {
			kind = "public"
		}
		info["shares"] = answer{kind: shares}
	}
	return answer{"file": info}, ""
}

// isImage reports whether a file can be shown in the page.
func isImage(data []byte) bool {
	return strings.HasPrefix(http.DetectContentType(data), "image/")
}
