package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/pipeline"
)

// Names of what the demo leaves in its folder.
const (
	FilePicture = "flame.png"
	FileFlame   = "flame.html"
	FileReport  = "report.txt"
	FileJSON    = "report.json"
	FileThread  = "thread.txt"
	FilePage    = "thread.html"
)

// leave writes the pictures, the report, the raw profiles and the thread.
func (d *demo) leave(ctx context.Context) error {
	st := d.app.Store()
	write := func(name string, data []byte) error {
		file := filepath.Join(d.Out, name)
		d.res.Files = append(d.res.Files, file)
		return os.WriteFile(file, data, 0o644)
	}
	var errs []error
	for name, blob := range map[string]string{FilePicture: pipeline.BlobPicture, FileFlame: pipeline.BlobFlame} {
		data, err := st.Blob(d.res.Incident, blob)
		if err == nil {
			err = write(name, data)
		}
		errs = append(errs, err)
	}
	captures, err := st.Captures(ctx, d.res.Incident)
	errs = append(errs, err)
	for _, c := range captures {
		if c.Status != incident.CaptureStored {
			continue
		}
		data, err := st.Blob(d.res.Incident, c.Blob)
		if err == nil {
			err = write(filepath.Join("profiles", c.Blob), data)
		}
		errs = append(errs, err)
	}
	var text bytes.Buffer
	errs = append(errs, analysis.WriteText(&text, d.res.Report))
	report, err := json.MarshalIndent(d.res.Report, "", "  ")
	errs = append(errs, err, write(FileReport, text.Bytes()), write(FileJSON, append(report, '\n')),
		write(FileThread, []byte(d.slack.Text(channel))), write(FilePage, d.page(ctx)))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write to %s: %w", d.Out, err)
	}
	return nil
}

var pagePicture = regexp.MustCompile(`src="[^"]*/files/[^"]*"`)

// page is the thread's page with the picture beside it, so that it can be
// opened when the demo has ended.
func (d *demo) page(ctx context.Context) []byte {
	w := httptest.NewRecorder()
	d.slack.Page().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	return pagePicture.ReplaceAll(w.Body.Bytes(), []byte(`src="`+FilePicture+`"`))
}
