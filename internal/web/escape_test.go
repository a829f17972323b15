package web_test

import (
	"encoding/json"
	htmlpkg "html"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
)

// hostile would leave an attribute, an element, a script or a style if it were
// written as it is; the numbers tell where it did.
const hostile = `h1"h2'h3<script>alert(1)</script><img src=x onerror=h4>&h5;{{h6}}` + "\u2028`h7"

// fill puts hostile into every text that v holds, however deep, and one of
// everything into lists.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(start))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString(hostile)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	}
}

var (
	tag       = regexp.MustCompile(`<([a-zA-Z][a-zA-Z0-9]*)((?:[^>"]|"[^"]*")*)>`)
	attribute = regexp.MustCompile(`\s([a-zA-Z-]+)(?:="([^"]*)")?`)
)

// known are the elements and attributes that the pages themselves have.
var known = map[string]string{
	"html": "lang", "head": "", "title": "", "meta": "charset name content", "style": "", "body": "", "h1": "", "h2": "", "p": "class", "b": "",
	"br": "", "div": "class", "span": "class", "code": "class", "table": "", "tr": "", "th": "", "td": "class", "a": "href rel", "img": "src alt",
}

// TestPagesEscape fills everything that comes from outside with markup: no
// page gets an element, an attribute or an address from it.
func TestPagesEscape(t *testing.T) {
	s := newSite(t)
	var a incident.Alert
	fill(reflect.ValueOf(&a).Elem())
	a.Test, a.URL = false, "javascript:alert(h8)"
	id := s.accept(t, a)
	var c incident.Capture
	fill(reflect.ValueOf(&c).Elem())
	c.Incident, c.Status = id, incident.CaptureFailed
	var rep analysis.Report
	fill(reflect.ValueOf(&rep).Elem())
	s.finish(t, id, &rep, c)
	b := a
	b.ID, b.Cycle = "e2", "c2"
	failed := s.accept(t, b)
	if err := s.st.Finish(t.Context(), failed, nil, hostile); err != nil {
		t.Fatal(err)
	}

	for name, path := range map[string]string{"index": "/", "report": s.path(id), "failed": s.path(failed)} {
		t.Run(name, func(t *testing.T) {
			w := s.get(t, path)
			page := w.Body.String()
			if w.Code != 200 {
				t.Fatalf("status %d: %s", w.Code, page)
			}
			if !strings.Contains(page, "h1&#34;h2&#39;h3&lt;script&gt;") {
				t.Error("the text is not shown at all")
			}
			for _, raw := range []string{`h1"`, `h2'`, "h3<", "<script", "<img src=x", "&h5;", "javascript:"} {
				if strings.Contains(page, raw) {
					t.Errorf("%q stands in the page as it is", raw)
				}
			}
			for _, m := range tag.FindAllStringSubmatch(page, -1) {
				attributes, ok := known[strings.ToLower(m[1])]
				if !ok {
					t.Errorf("element %s", m[0])
				}
				for _, at := range attribute.FindAllStringSubmatch(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(m[2], ""), -1) {
					if !strings.Contains(" "+attributes+" ", " "+at[1]+" ") {
						t.Errorf("attribute %s in %s", at[1], m[0])
					}
				}
				for _, at := range attribute.FindAllStringSubmatch(m[2], -1) {
					if at[1] != "href" && at[1] != "src" {
						continue
					}
					u, err := url.Parse(htmlpkg.UnescapeString(at[2]))
					if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(u.Path, "/") {
						t.Errorf("address %q, %v", at[2], err)
					}
				}
			}
		})
	}

	// A stored blob with such a name is found by its own link.
	link := s.path(id) + url.PathEscape(hostile)
	if w := s.get(t, link); w.Code != 200 || w.Body.String() != "cpu" {
		t.Errorf("blob: %d %q", w.Code, w.Body)
	}
	var back analysis.Report
	if err := json.Unmarshal(s.get(t, s.path(id)+"report.json").Body.Bytes(), &back); err != nil || back.Service != hostile {
		t.Errorf("report.json: %q, %v", back.Service, err)
	}
	// A monitor's address that is one stays one.
	ok := s.accept(t, incident.Alert{ID: "e3", Key: incident.Key{Service: "s"}, URL: "https://app.datadoghq.com/monitors/1?a=1&b=2"})
	if page := s.get(t, s.path(ok)).Body.String(); !strings.Contains(page, `<a href="https://app.datadoghq.com/monitors/1?a=1&amp;b=2" rel="noreferrer">`) {
		t.Errorf("no link to the monitor in %s", page)
	}
}
