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

-- +goose Down
DROP TABLE seen;
DROP TABLE digest;
DROP TABLE deed;
DROP TABLE mute;
