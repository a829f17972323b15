package routers

import (
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/profbot/profbot/internal/analysis/lab/svc"
)

// table is a map from paths to functions.
type table struct{ byPath map[string]http.HandlerFunc }

func (t *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := t.byPath[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	f(w, r)
}

// big is one switch that calls methods.
type big struct{ *web }

func (s *big) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/live":
		s.Live(w, r)
	case "/gift":
		s.Gift(w, r)
	case "/shop":
		s.Shop(w, r)
	case "/rank":
		s.Rank(w, r)
	case "/fanout":
		s.Fanout(w, r)
	case "/user":
		s.User(w, r)
	case "/export":
		s.Export(w, r)
	case "/chat":
		s.Chat(w, r)
	case "/rows":
		s.Rows(w, r)
	case "/bolt":
		s.Bolt(w, r)
	case "/rpc":
		s.Remote(w, r)
	case "/stream":
		s.Stream(w, r)
	case "/post":
		s.Post(w, r)
	default:
		http.NotFound(w, r)
	}
}

// page is what the interface table holds.
type page interface {
	render(w http.ResponseWriter, r *http.Request)
}

type (
	livePage   struct{ *web }
	giftPage   struct{ *web }
	shopPage   struct{ *web }
	rankPage   struct{ *web }
	fanoutPage struct{ *web }
	userPage   struct{ *web }
	exportPage struct{ *web }
	chatPage   struct{ *web }
)

func (p *livePage) render(w http.ResponseWriter, r *http.Request)   { p.Live(w, r) }
func (p *giftPage) render(w http.ResponseWriter, r *http.Request)   { p.Gift(w, r) }
func (p *shopPage) render(w http.ResponseWriter, r *http.Request)   { p.Shop(w, r) }
func (p *rankPage) render(w http.ResponseWriter, r *http.Request)   { p.Rank(w, r) }
func (p *fanoutPage) render(w http.ResponseWriter, r *http.Request) { p.Fanout(w, r) }
func (p *userPage) render(w http.ResponseWriter, r *http.Request)   { p.User(w, r) }
func (p *exportPage) render(w http.ResponseWriter, r *http.Request) { p.Export(w, r) }
func (p *chatPage) render(w http.ResponseWriter, r *http.Request)   { p.Chat(w, r) }

// route is one line of a table of regular expressions.
type route struct {
	pattern *regexp.Regexp
	handle  func(w http.ResponseWriter, r *http.Request, args []string)
}

type regexRouter struct{ routes []route }

func (t *regexRouter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, x := range t.routes {
		if m := x.pattern.FindStringSubmatch(r.URL.Path); m != nil {
			x.handle(w, r, m)
			return
		}
	}
	http.NotFound(w, r)
}

func (t *regexRouter) add(pattern string, h http.HandlerFunc) {
	t.routes = append(t.routes, route{regexp.MustCompile("^" + pattern + "$"), func(w http.ResponseWriter, r *http.Request, _ []string) { h(w, r) }})
}

// reflecting calls the method that the path names.
type reflecting struct{ target reflect.Value }

func (t *reflecting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	m := t.target.MethodByName(strings.ToUpper(name[:1]) + name[1:])
	if name == "rpc" {
		m = t.target.MethodByName("Remote")
	}
	if !m.IsValid() {
		http.NotFound(w, r)
		return
	}
	m.Call([]reflect.Value{reflect.ValueOf(w), reflect.ValueOf(r)})
}

func init() {
	All["own-map"] = func(a *svc.API) Server {
		return on(&table{(&web{a}).routes()}, methods("web", wide))
	}
	All["own-map-chain"] = func(a *svc.API) Server {
		return on(recovery(logging(metrics(auth(&table{(&web{a}).routes()})))), methods("web", wide))
	}
	All["own-switch"] = func(a *svc.API) Server {
		return on(logging(&big{&web{a}}), methods("web", wide))
	}
	All["own-interface"] = func(a *svc.API) Server {
		h := &web{a}
		pages := map[string]page{
			"/live": &livePage{h}, "/gift": &giftPage{h}, "/shop": &shopPage{h}, "/rank": &rankPage{h}, "/fanout": &fanoutPage{h},
			"/user": &userPage{h}, "/export": &exportPage{h}, "/chat": &chatPage{h},
		}
		s := on(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, ok := pages[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			p.render(w, r)
		}), map[string]string{})
		for e, m := range core {
			s.Handlers[e] = `routers\.\(\*` + e + `Page\)\.render$|routers\.\(\*web\)\.` + m + `$`
		}
		return s
	}
	All["own-regexp"] = func(a *svc.API) Server {
		t := &regexRouter{}
		for path, f := range (&web{a}).routes() {
			t.add(path, f)
		}
		return on(t, methods("web", wide))
	}
	All["own-reflect"] = func(a *svc.API) Server {
		return on(&reflecting{reflect.ValueOf(&web{a})}, methods("web", wide))
	}
}
