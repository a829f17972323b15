package web

import (
	"encoding/json"
	"net/http"
)

// writeJSON writes v indented: people read it with curl.
func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the reader has left; nobody is there to tell
	return nil
}
