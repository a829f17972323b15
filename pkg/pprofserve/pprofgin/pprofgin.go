// Package pprofgin labels goroutines with the gin route that they serve, so
// that CPU profiles say which endpoint costs what. See package pprofserve.
package pprofgin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/profbot/profbot/pkg/pprofserve"
)

// Label is middleware that labels each request with the method and full path
// of its route ("GET /users/:id"), groups and wildcards included. Requests
// that match no route have no label.
//
//	r := gin.New()
//	r.Use(pprofgin.Label())
//
// Middleware that stands before it is not part of the label. The request that
// it hands on carries the label in its context; c.Request.Context() has it.
func Label() gin.HandlerFunc {
	return func(c *gin.Context) {
		pprofserve.DoRequest(c.Request, c.FullPath(), func(r *http.Request) {
			c.Request = r
			c.Next()
		})
	}
}
