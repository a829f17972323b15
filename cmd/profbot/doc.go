/*
Profbot profiles hot Go services when a monitor fires, and says in Slack which
endpoint decodes the same cached bytes again and again.

Run "profbot demo" first: it needs nothing else and shows the whole loop.

# A tour of the code

An alert's way through the repository is the best order to read it in:

	Datadog ──> webhook ──> pipeline ──> store          accept: alert, incident and job in one transaction
	                           │
	              discovery ───┤─── datadog             choose: known pods, hottest by metric, one cool control
	              collector ───┤                        pull: allocs, CPU, allocs, goroutine per pod
	        analysis, flame ───┤                        analyse: endpoints, codecs, sources, verdicts; draw
	               slackbot ───┘─── web                 tell: one message, one picture, one report page

	Slack ──> receive ──> desk ──> pipeline             ask: commands, mentions, buttons and forms of people

[github.com/profbot/profbot/internal/incident] is the vocabulary of all others:
Alert, Incident, Capture, Target, and the two pure rules Decide (what an alert
leads to) and Choose (which pods).

[github.com/profbot/profbot/internal/webhook] turns what Datadog sends into an
alert. Start with parse.go for the shapes, handler.go for who may send.

[github.com/profbot/profbot/internal/pipeline] is the loop. Its jobs, advance
and pull, may run any number of times: what is left to do is read from the
store, never from the queue. run.go reconciles after a crash, ladder.go goes on
when a pod's profiler is busy, event.go tells the monitor's timeline.

[github.com/profbot/profbot/internal/store] keeps everything in one SQLite file
with the queue, profiles beside it. lease.go says who works on what.

[github.com/profbot/profbot/internal/datadog] asks how busy pods are and what
the monitor is set to, posts the verdict, and installs the webhook. call.go has
what all calls share; datadogtest refuses what Datadog refuses.

[github.com/profbot/profbot/internal/discovery] knows which pods there are:
those that are listed, and those that names in DNS lead to.
[github.com/profbot/profbot/internal/discovery/kube] finds them by watching
Kubernetes, confirms that a pod is the one that was chosen, and reaches it.

[github.com/profbot/profbot/internal/collector] pulls profiles within limits
and tells every failure apart.

[github.com/profbot/profbot/internal/analysis] is what profbot is for: stacks
to endpoints (endpoint.go), codecs (codec.go), where bytes came from (source.go
for the table, evidence.go for the reasoning), and the verdict's rules
(verdict.go). It is a pure function of profiles.

[github.com/profbot/profbot/internal/flame] draws the call tree as a picture
and as a page.

[github.com/profbot/profbot/internal/slackbot] tells. publish.go brings a
thread to the state of an incident and may be killed at any line; slacktest is
the Slack it is tested against, and the one the demo shows.

What people do in Slack comes in by
[github.com/profbot/profbot/internal/slackbot/receive], through a socket that
profbot opens or by signed HTTP, and is one Request from there on.
[github.com/profbot/profbot/internal/slackbot/command] reads what they type, as
phones type it. The desk answers: desk.go in internal/slackbot acknowledges,
desk_commands.go and desk_click.go do, rights.go and limits.go say who may and
how often, and Backend is all that it asks of profbot.

[github.com/profbot/profbot/internal/web] serves reports behind signed links,
health, and profbot's own pprof.

[github.com/profbot/profbot/internal/metrics] counts what happens, for the
people who run profbot; list.go is all of it.

[github.com/profbot/profbot/internal/doctor] walks everything that an
installation depends on, and names the next step of what does not work.

[github.com/profbot/profbot/internal/app] wires all of them and owns their life;
this package parses flags. [github.com/profbot/profbot/internal/demo] runs
services, load, stand-ins and somebody on call around a real profbot.

Which package may import which is a test: internal/archtest. Configuration is
one struct: internal/config. What an installation needs beside the binary is in
deploy/, and is held to the code by deploy/check. The cache package that fixes
what profbot finds is a module of its own, pkg/sfcache.
*/
package main
