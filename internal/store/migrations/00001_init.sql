-- +goose Up
-- Times are Unix milliseconds; doc columns hold the JSON of the Go type, and
-- the other columns repeat what queries need.

CREATE TABLE alert (
	id          TEXT PRIMARY KEY, -- source/id: the idempotency key of a delivery
	received    INTEGER NOT NULL,
	doc         TEXT NOT NULL,    -- incident.Alert
	receipt     TEXT NOT NULL     -- incident.Receipt: what became of it, and why
);
CREATE INDEX alert_received ON alert (received);

CREATE TABLE incident (
	id        TEXT PRIMARY KEY,
	service   TEXT NOT NULL,
	env       TEXT NOT NULL,
	monitor   TEXT NOT NULL,
	cycle     TEXT NOT NULL,
	status    TEXT NOT NULL,
	opened    INTEGER NOT NULL,
	recovered INTEGER NOT NULL DEFAULT 0,
	doc       TEXT NOT NULL,      -- incident.Incident
	rev       INTEGER NOT NULL,   -- grows with every change that people should see
	told      INTEGER NOT NULL    -- the rev that was last told in full; told < rev is work to do
);
CREATE INDEX incident_key ON incident (service, monitor, cycle, opened);
CREATE INDEX incident_opened ON incident (opened);

CREATE TABLE capture (
	incident TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
	pod      TEXT NOT NULL,
	kind     TEXT NOT NULL,
	seq      INTEGER NOT NULL,    -- the order of pulling within an incident
	status   TEXT NOT NULL,
	doc      TEXT NOT NULL,       -- incident.Capture
	PRIMARY KEY (incident, pod, kind)
);

CREATE TABLE effect (
	incident TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
	step     TEXT NOT NULL,
	doc      TEXT NOT NULL,       -- incident.Effect
	PRIMARY KEY (incident, step)
);

CREATE TABLE report (
	incident TEXT PRIMARY KEY REFERENCES incident (id) ON DELETE CASCADE,
	doc      TEXT NOT NULL        -- analysis.Report
);

-- One row per unit of work that was ever held: by whom, and until when.
CREATE TABLE lease (
	incident TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
	pod      TEXT NOT NULL,       -- '' is the incident itself
	token    TEXT NOT NULL DEFAULT '',
	until    INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (incident, pod)
);

-- +goose Down
DROP TABLE lease;
DROP TABLE report;
DROP TABLE effect;
DROP TABLE capture;
DROP TABLE incident;
DROP TABLE alert;
