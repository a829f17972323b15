package pprofserve

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"runtime/pprof"
	"slices"
)

// entry is a profile as the index lists it.
type entry struct {
	Name, Link, What string
	Count            int
}

// described are the profiles whose content their name does not say.
var described = map[string]string{
	"allocs":        "past memory allocations, sampled",
	"block":         "stacks that waited for channels and locks; empty unless runtime.SetBlockProfileRate was called",
	"cmdline":       "the program's command line",
	"goroutine":     "stacks of all goroutines; debug=2 writes them as a panic would",
	"goroutineleak": "stacks of goroutines that can never go on",
	"heap":          "memory in use, sampled; gc=1 collects garbage first",
	"mutex":         "stacks of those who held locks that others waited for; empty unless runtime.SetMutexProfileFraction was called",
	"profile":       "CPU profile of the next 30 seconds, or of the parameter seconds",
	"symbol":        "names of the functions at program counters",
	"threadcreate":  "stacks that made the runtime start a thread",
	"trace":         "execution trace of the next second, or of the parameter seconds",
}

var indexPage = template.Must(template.New("index").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>/debug/pprof/</title></head>
<body>
<h1>/debug/pprof/</h1>
<p>Profiles of {{.Program}}. debug=1 shows a profile as text; with seconds, those that count up show what is added in that time.</p>
<table>
<tr><th>Count</th><th>Profile</th><th></th></tr>
{{range .Entries}}<tr><td>{{.Count}}</td><td><a href='{{.Link}}'>{{.Name}}</a></td><td>{{.What}}</td></tr>
{{end}}</table>
<p><a href='./goroutine?debug=2'>full goroutine stack dump</a></p>
</body>
</html>
`))

// index lists the profiles that there are.
func index(w http.ResponseWriter, _ *http.Request) {
	var list []entry
	for _, p := range pprof.Profiles() {
		list = append(list, entry{Name: p.Name(), Count: p.Count()})
	}
	for _, name := range []string{"cmdline", "profile", "symbol", "trace"} {
		list = append(list, entry{Name: name})
	}
	for i := range list {
		list[i].Link, list[i].What = href(list[i].Name), described[list[i].Name]
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	if err := indexPage.Execute(&b, struct {
		Program string
		Entries []entry
	}{program(), list}); err != nil {
		serveError(w, http.StatusInternalServerError, err.Error())
		return
	}
	header(w, "text/html; charset=utf-8", "")
	w.Write(b.Bytes())
}
