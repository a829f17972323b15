package slacktest

import "net/http"

// Page shows the workspace.
func (s *Server) Page() http.Handler { return http.NotFoundHandler() }
