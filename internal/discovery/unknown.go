package discovery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/profbot/profbot/internal/incident"
)

// Unknown is an [incident.ErrUnknownService] in words of its own.
func Unknown(format string, args ...any) error { return unknownError(fmt.Sprintf(format, args...)) }

type unknownError string

func (e unknownError) Error() string   { return string(e) }
func (e unknownError) Is(t error) bool { return t == incident.ErrUnknownService }

// maxNames keeps a list of a cluster's services readable in a message.
const maxNames = 20

// Names is a sorted list for a message, each name once, and not too long.
func Names(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return strings.Join(names, ", ")
}
