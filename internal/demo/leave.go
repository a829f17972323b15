package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/demo/fleet"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// Names of what the demo leaves in its folder.
const (
	FilePicture = "flame.png"
	FileFlame   = "flame.html"
	FileReport  = "report.txt"
	FileJSON    = "report.json"
	FileThread  = "thread.txt"
	FilePage    = "thread.html"
	FileHome    = "home.html" // profbot's home, as Dana sees it
	// FileDifference is what grew against another profile, where there was one
	// to compare with.
	FileDifference = "difference.png"

	// Of the heap, which was asked for in the thread.
	FilePictureHeap = "flame-heap.png"
	FileFlameHeap   = "flame-heap.html"
	FileReportHeap  = "report-heap.txt"
	FileJSONHeap    = "report-heap.json"

	// With the fix.
	FilePictureAfter = "flame-after.png"
	FileFlameAfter   = "flame-after.html"
	FileReportAfter  = "report-after.txt"
	FileJSONAfter    = "report-after.json"
	FileProof        = "proof.json"

	FileDifferenceAfter = "difference-after.png"
)

// clear removes what an earlier demo left in the folder, so that none of it is
// taken for this one's. Files of other names stay.
func (d *demo) clear() error {
	names, err := fs.Glob(os.DirFS(d.Out), "profiles*/"+fleet.Service+"-*.pb.gz")
	if err != nil {
		return err
	}
	names = append(names, FilePicture, FileFlame, FileReport, FileJSON, FileThread, FilePage, FileHome,
		FilePictureAfter, FileFlameAfter, FileReportAfter, FileJSONAfter, FileProof, FileDifference, FileDifferenceAfter,
		FilePictureHeap, FileFlameHeap, FileReportHeap, FileJSONHeap)
	for _, name := range names {
		if err := os.Remove(filepath.Join(d.Out, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// leave writes the pictures, the report, the raw profiles and the thread.
func (d *demo) leave(ctx context.Context) error {
	st := d.app.Store()
	write := func(name string, data []byte) error {
		file := filepath.Join(d.Out, name)
		d.res.Files = append(d.res.Files, file)
		return os.WriteFile(file, data, 0o644)
	}
	var errs []error
	keep := func(name string, data []byte, err error) {
		if err == nil {
			err = write(name, data)
		}
		errs = append(errs, err)
	}
	for _, part := range []struct {
		incident, picture, flame, text, json, profiles string
		report                                         *analysis.Report
	}{
		{d.res.Incident, FilePicture, FileFlame, FileReport, FileJSON, "profiles", d.res.Report},
		{d.res.Asked, FilePictureHeap, FileFlameHeap, FileReportHeap, FileJSONHeap, "profiles-heap", d.res.Heap},
		{d.res.Verify, FilePictureAfter, FileFlameAfter, FileReportAfter, FileJSONAfter, "profiles-after", d.res.After},
	} {
		for name, blob := range map[string]string{part.picture: pipeline.BlobPicture, part.flame: pipeline.BlobFlame} {
			data, err := st.Blob(part.incident, blob)
			keep(name, data, err)
		}
		captures, err := st.Captures(ctx, part.incident)
		errs = append(errs, err, os.MkdirAll(filepath.Join(d.Out, part.profiles), 0o755))
		for _, c := range captures {
			if c.Status != incident.CaptureStored || c.Blob == "" {
				continue
			}
			data, err := st.Blob(part.incident, c.Blob)
			keep(filepath.Join(part.profiles, c.Blob), data, err)
		}
		var text bytes.Buffer
		err = analysis.WriteText(&text, part.report)
		keep(part.text, text.Bytes(), err)
		report, err := json.MarshalIndent(part.report, "", "  ")
		keep(part.json, append(report, '\n'), err)
	}
	proof, err := json.MarshalIndent(d.res.Proof, "", "  ")
	keep(FileProof, append(proof, '\n'), err)
	keep(FileThread, []byte(d.slack.Text(channel)), nil)
	for _, f := range d.pictures() {
		if f.Name == FileDifference || f.Name == FileDifferenceAfter {
			keep(f.Name, f.Data, nil)
		}
	}
	keep(FilePage, d.page(ctx, "/"), nil)
	keep(FileHome, d.page(ctx, "/home"), nil)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write to %s: %w", d.Out, err)
	}
	return nil
}

var (
	pageFile   = regexp.MustCompile(`(src|href)="files/[^"]*"`)
	pageReport = regexp.MustCompile(`href="[^"]*/r/[^"/]*/(flame\.html)?"`)
	pageScript = regexp.MustCompile(`<script[^>]*></script>\n?`)
)

// page is a page of the workspace as one file with the pictures beside it, so
// that it can be opened when the demo has ended: the style in it, no script that
// asks for news, nothing to type into, and the pictures in the order in which
// they were posted.
func (d *demo) page(ctx context.Context, path string) []byte {
	get := func(path string) []byte {
		w := httptest.NewRecorder()
		d.slack.Page().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		return w.Body.Bytes()
	}
	style := append(append([]byte("<style>\n"), get("/page.css")...), "</style>"...)
	page := bytes.Replace(get(path+"?still"), []byte(`<link rel="stylesheet" href="page.css">`), style, 1)
	page = pageScript.ReplaceAll(page, nil)
	// What was linked is beside it too, in the order of the thread.
	seen := map[bool]int{}
	page = pageReport.ReplaceAllFunc(page, func(ref []byte) []byte {
		flame := bytes.HasSuffix(ref, []byte(`flame.html"`))
		names := []string{FileReport, FileReportHeap, FileReportAfter}
		if flame {
			names = []string{FileFlame, FileFlameHeap, FileFlameAfter}
		}
		seen[flame]++
		return []byte(`href="` + names[min(seen[flame], len(names))-1] + `"`)
	})
	names := map[string]string{} // by what the page calls the file
	for _, f := range d.pictures() {
		names[`"files/`+f.ID+`"`] = f.Name
	}
	return pageFile.ReplaceAllFunc(page, func(ref []byte) []byte {
		attribute, file, _ := strings.Cut(string(ref), "=")
		return []byte(attribute + `="` + names[file] + `"`)
	})
}

// pictures are those in the thread, by the names that they have beside the page:
// the first of a kind is from before the fix, the last from after it.
func (d *demo) pictures() []slacktest.File {
	files, seen := d.slack.Files(), map[string]int{}
	for i := range files {
		f := &files[i]
		names := []string{FilePicture, FilePictureHeap, FilePictureAfter}
		if f.Name == FileDifference {
			names = []string{FileDifference, FileDifferenceAfter}
		}
		seen[names[0]]++
		f.Name = names[min(seen[names[0]], len(names))-1]
	}
	return files
}
