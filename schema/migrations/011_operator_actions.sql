-- What operators did through the console and the operator API: noted before it is done, so nothing is done unnoted.

CREATE TABLE operator_actions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    actor TEXT NOT NULL,
    via TEXT NOT NULL CHECK (via IN ('console', 'api', 'cli')),
    action TEXT NOT NULL,
    target TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    affected INT
);
CREATE INDEX idx_operator_actions_at ON operator_actions(at DESC, id DESC);
COMMENT ON TABLE operator_actions IS 'Who did what to what, when and why, by the console or the operator API. Append-only.';
COMMENT ON COLUMN operator_actions.id IS 'Order of asking.';
COMMENT ON COLUMN operator_actions.at IS 'When it was asked for.';
COMMENT ON COLUMN operator_actions.actor IS 'Fingerprint of the token, and after a slash the id of the console''s session; never the token.';
COMMENT ON COLUMN operator_actions.via IS 'console, api or cli.';
COMMENT ON COLUMN operator_actions.action IS 'login, logout, payload_revealed, person_searched, dead_replayed or dead_discarded.';
COMMENT ON COLUMN operator_actions.target IS 'The event, or the filter of dead letters; no personal data.';
COMMENT ON COLUMN operator_actions.reason IS 'In the operator''s words.';
COMMENT ON COLUMN operator_actions.affected IS 'How many events it concerned; null where it did not come to an end.';
