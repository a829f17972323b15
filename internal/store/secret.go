package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/profbot/profbot/internal/incident"
)

// Secret returns 32 random bytes that stay the same for this data folder: they
// are made when they are first asked for.
func (s *Store) Secret(name string) ([]byte, error) {
	const dir = "secrets"
	text, err := s.Blob(dir, name)
	if err == nil {
		key, err := hex.DecodeString(string(text))
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("read secret %q: the stored value is damaged; remove the file to make a new one", name)
		}
		return key, nil
	}
	if !errors.Is(err, incident.ErrNotFound) {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails: it would end the process
	return key, s.PutBlob(dir, name, []byte(hex.EncodeToString(key)))
}
