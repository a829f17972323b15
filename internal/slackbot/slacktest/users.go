package slacktest

import "net/url"

// User is a person of the workspace, or one whom it shares a channel with.
type User struct {
	ID, Name string
	Team     string // id of the person's own workspace; "" means this one
	Guest    bool
	Stranger bool // of another organisation
	Bot      bool
	Deleted  bool
}

// people are the users and the user groups.
type people struct {
	users  map[string]User
	groups map[string][]string
}

// teamID is the id of the workspace.
const teamID = "T0TEST"

// AddUser adds a person, or changes one.
func (s *Server) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.people.users == nil {
		s.people.users = map[string]User{}
	}
	s.people.users[u.ID] = u
}

// SetGroup says who is in a user group.
func (s *Server) SetGroup(id string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.people.groups == nil {
		s.people.groups = map[string][]string{}
	}
	s.people.groups[id] = members
}

func (s *Server) usersInfo(form url.Values) (answer, string) {
	u, ok := s.people.users[form.Get("user")]
	if !ok {
		return nil, "user_not_found"
	}
	if u.Team == "" {
		u.Team = teamID
	}
	return answer{"user": answer{
		"id": u.ID, "name": u.Name, "team_id": u.Team, "is_restricted": u.Guest, "is_stranger": u.Stranger, "is_bot": u.Bot, "deleted": u.Deleted,
	}}, ""
}

func (s *Server) usergroupsUsersList(form url.Values) (answer, string) {
	members, ok := s.people.groups[form.Get("usergroup")]
	if !ok {
		return nil, "no_such_subteam"
	}
	return answer{"users": members}, ""
}
