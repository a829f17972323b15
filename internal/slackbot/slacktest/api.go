package slacktest

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxForm is the largest request of the Web API that is read.
const maxForm = 4 << 20

// method is one method of the Web API. It runs with mu held and returns the
// answer, or one of Slack's error codes.
type method struct {
	scopes []string // one of them is needed; nil for none
	run    func(s *Server, form url.Values) (answer, string)
}

type answer = map[string]any

var methods = map[string]method{
	"auth.test":                    {nil, (*Server).authTest},
	"conversations.info":           {[]string{"channels:read", "groups:read"}, (*Server).conversationsInfo},
	"conversations.join":           {[]string{"channels:join"}, (*Server).conversationsJoin},
	"conversations.history":        {[]string{"channels:history", "groups:history"}, (*Server).conversationsHistory},
	"conversations.replies":        {[]string{"channels:history", "groups:history"}, (*Server).conversationsReplies},
	"chat.postMessage":             {[]string{"chat:write"}, (*Server).chatPostMessage},
	"chat.update":                  {[]string{"chat:write"}, (*Server).chatUpdate},
	"files.getUploadURLExternal":   {[]string{"files:write"}, (*Server).filesGetUploadURL},
	"files.completeUploadExternal": {[]string{"files:write"}, (*Server).filesComplete},
	"files.info":                   {[]string{"files:read"}, (*Server).filesInfo},
	"chat.postEphemeral":           {[]string{"chat:write"}, (*Server).chatPostEphemeral},
	"users.info":                   {[]string{"users:read"}, (*Server).usersInfo},
	"usergroups.users.list":        {[]string{"usergroups:read"}, (*Server).usergroupsUsersList},
	"views.open":                   {nil, (*Server).viewsOpen},
	"views.publish":                {nil, (*Server).viewsPublish},
	"apps.connections.open":        {nil, (*Server).connectionsOpen},
}

// eventScopes are needed by no method, but by what Slack sends.
var eventScopes = []string{"commands", "app_mentions:read", "im:history", "im:read"}

// allScopes lists every scope that some method or event needs.
func allScopes() []string {
	set := map[string]bool{}
	for _, s := range eventScopes {
		set[s] = true
	}
	for _, m := range methods {
		for _, s := range m.scopes {
			set[s] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// Handler serves the Web API, the uploads and the page.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", s.serveAPI)
	mux.HandleFunc("POST /upload/{secret}", s.serveUpload)
	mux.HandleFunc("POST /response/{secret}", s.serveResponse)
	mux.HandleFunc("GET /socket/{ticket}", s.serveSocket)
	mux.Handle("/", s.Page())
	return mux
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("method")
	form, err := params(w, r)
	if err != nil {
		writeJSON(w, http.StatusOK, answer{"ok": false, "error": "invalid_form_data"})
		return
	}
	m, known := methods[name]
	if !known {
		writeJSON(w, http.StatusOK, answer{"ok": false, "error": "unknown_method"})
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	want := s.opt.Token
	if name == "apps.connections.open" {
		want = s.opt.AppToken
	} else if token == "" {
		token = form.Get("token")
	}
	switch {
	case token == "":
		writeJSON(w, http.StatusOK, answer{"ok": false, "error": "not_authed"})
		return
	case strings.HasPrefix(token, "xoxb-") && strings.HasPrefix(want, "xapp-"), strings.HasPrefix(token, "xapp-") && strings.HasPrefix(want, "xoxb-"):
		writeJSON(w, http.StatusOK, answer{"ok": false, "error": "not_allowed_token_type"})
		return
	case subtle.ConstantTimeCompare([]byte(token), []byte(want)) != 1:
		writeJSON(w, http.StatusOK, answer{"ok": false, "error": "invalid_auth"})
		return
	}
	w.Header().Set("X-OAuth-Scopes", strings.Join(s.opt.Scopes, ","))
	fault, ok := s.begin(w, name, form.Get("channel"))
	if !ok {
		return
	}
	if s.opt.Limit != nil {
		if wait := s.opt.Limit(name, form.Get("channel")); wait > 0 {
			Failure{RetryAfter: wait}.write(w)
			return
		}
	}
	if len(m.scopes) > 0 && !slices.ContainsFunc(m.scopes, func(sc string) bool { return slices.Contains(s.opt.Scopes, sc) }) {
		writeJSON(w, http.StatusOK, answer{"ok": false, "error": "missing_scope", "needed": m.scopes[0], "provided": strings.Join(s.opt.Scopes, ",")})
		return
	}
	s.mu.Lock()
	s.settleLocked()
	out, code := m.run(s, form)
	s.mu.Unlock()
	s.end(w, r, name, fault)
	if out == nil {
		out = answer{}
	}
	out["ok"] = code == ""
	if code != "" {
		out["error"] = code
	}
	writeJSON(w, http.StatusOK, out)
}

// begin is what every call begins with. ok is false when it was answered: by a
// failure, or by a fault.
func (s *Server) begin(w http.ResponseWriter, method, channel string) (fault Fault, ok bool) {
	if s.opt.Before != nil {
		s.opt.Before(method)
	}
	fail, failed, fault, wait := s.disturbance(method, channel)
	if failed {
		fail.write(w)
		return fault, false
	}
	return fault, !fault.before(w, wait)
}

// end is what comes between the effect of a call and its answer.
func (s *Server) end(w http.ResponseWriter, r *http.Request, method string, fault Fault) {
	if s.opt.After != nil {
		s.opt.After(method)
	}
	fault.after(w, r)
}

// disturbance counts a call and says what goes wrong with it: the next failure
// that was asked for, or what chance and the rates want.
func (s *Server) disturbance(method, channel string) (fail Failure, failed bool, fault Fault, retryAfter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method] = append(s.calls[method], s.opt.Now())
	if s.refusal != "" && method != "upload" {
		return Failure{Code: s.refusal}, true, "", 0
	}
	if queue := s.failures[method]; len(queue) > 0 {
		s.failures[method] = queue[1:]
		return queue[0], true, "", 0
	}
	if wait := s.limitLocked(method, channel); wait > 0 {
		return Failure{RetryAfter: wait}, true, "", 0
	}
	fault, retryAfter = s.drawLocked()
	return Failure{}, false, fault, retryAfter
}

func (f Failure) write(w http.ResponseWriter) {
	status := f.Status
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
		if status == 0 {
			status = http.StatusTooManyRequests
		}
		if f.Code == "" {
			f.Code = "ratelimited"
		}
	}
	if status == 0 {
		status = http.StatusOK
	}
	writeJSON(w, status, answer{"ok": false, "error": f.Code})
}

// params reads a request as Slack does: a form, a query or JSON.
func params(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		err := r.ParseForm()
		return r.Form, err
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if len(data) == 0 {
		return url.Values{}, nil
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, err
	}
	form := url.Values{}
	for k, v := range raw {
		var text string
		if json.Unmarshal(v, &text) != nil {
			text = string(v)
		}
		form.Set(k, text)
	}
	return form, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("slacktest: answer is no JSON: %v", err)) // answers are plain data
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(data)
}

func (s *Server) authTest(url.Values) (answer, string) {
	return answer{"url": s.url + "/", "team": s.opt.Team, "user": s.opt.BotName, "team_id": "T0TEST", "user_id": s.opt.BotUser, "bot_id": "B0TEST"}, ""
}

func (s *Server) conversationsInfo(form url.Values) (answer, string) {
	c := s.channel(form.Get("channel"))
	if c == nil || (c.Private && c.Outside) {
		return nil, "channel_not_found"
	}
	return answer{"channel": answer{
		"id": c.ID, "name": c.Name, "is_channel": !c.Private, "is_private": c.Private, "is_archived": c.Archived, "is_member": !c.Outside,
	}}, ""
}

// conversationsJoin makes the bot a member of a public channel.
func (s *Server) conversationsJoin(form url.Values) (answer, string) {
	c := s.channel(form.Get("channel"))
	switch {
	case c == nil || (c.Private && c.Outside):
		return nil, "channel_not_found"
	case c.Private:
		return nil, "method_not_supported_for_channel_type"
	case c.Archived:
		return nil, "is_archived"
	}
	c.Outside = false
	s.changeLocked()
	return answer{"channel": answer{"id": c.ID, "name": c.Name, "is_channel": true, "is_member": true}}, ""
}
