package web

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/profbot/profbot/internal/incident"
)

// maxBy is how many bytes of the parameter "by" are kept: a name.
const maxBy = 80

// verify starts the verification of an incident's fix. A browser is sent back
// to the page; others get the receipt as JSON. The query's parameter "by" may
// name who asked.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request) error {
	by := r.URL.Query().Get("by")
	if len(by) > maxBy || !utf8.ValidString(by) {
		return &pageError{http.StatusBadRequest, "by: a name of at most 80 bytes"}
	}
	id := r.PathValue("id")
	inc, _, err := h.Store.Incident(r.Context(), id)
	if err != nil {
		return err
	}
	if !inc.Status.Final() {
		return &pageError{http.StatusConflict, "the incident is still being worked on: verify its fix when there is a verdict"}
	}
	rec, err := h.Verify(r.Context(), id, by)
	if err != nil {
		return err
	}
	if rec.Action != incident.ActionCapture && !rec.Repeated {
		return &pageError{http.StatusConflict, rec.Reason}
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "../../../", http.StatusSeeOther)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	return writeJSON(w, rec)
}
