-- +goose Up
-- What people asked for in Slack. Times are Unix milliseconds.

CREATE TABLE mute (
	service TEXT NOT NULL,
	env     TEXT NOT NULL,        -- '' is every env
	until   INTEGER NOT NULL,
	doc     TEXT NOT NULL,        -- incident.Mute
	PRIMARY KEY (service, env)
);

CREATE TABLE deed (
	seq INTEGER PRIMARY KEY,      -- the order in which they were written
	at  INTEGER NOT NULL,
	doc TEXT NOT NULL             -- incident.Deed
);
CREATE INDEX deed_at ON deed (at);

CREATE TABLE digest (
	channel TEXT PRIMARY KEY,     -- wants one every week
	last    INTEGER NOT NULL      -- when it was last sent
);

-- Deliveries that were handled: a second one of the same key is not.
CREATE TABLE seen (
	key TEXT PRIMARY KEY,
	at  INTEGER NOT NULL
);
CREATE INDEX seen_at ON seen (at);

-- What people look for: the fix of an incident, the incident of a thread, the
-- alerts of a service.
CREATE INDEX incident_cycle ON incident (cycle);
CREATE INDEX incident_place ON incident (doc ->> '$.alert.place.channel', doc ->> '$.alert.place.thread');
CREATE INDEX effect_ref ON effect (step, doc ->> '$.ref');
CREATE INDEX alert_own ON alert (doc ->> '$.id');
CREATE INDEX alert_service ON alert (doc ->> '$.key.service');

-- +goose Down
DROP INDEX alert_service;
DROP INDEX alert_own;
DROP INDEX effect_ref;
DROP INDEX incident_place;
DROP INDEX incident_cycle;
DROP TABLE seen;
DROP TABLE digest;
DROP TABLE deed;
DROP TABLE mute;
