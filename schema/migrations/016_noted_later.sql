-- A replay by the CLI is possible while Postgres is away: the projector notes it, once, from the event itself.

ALTER TABLE operator_actions ADD COLUMN entry TEXT;
CREATE UNIQUE INDEX idx_operator_actions_entry ON operator_actions(entry);
COMMENT ON COLUMN operator_actions.entry IS 'Partition and id of the `event_replayed` that this was noted from, where Postgres was away when it was done; else null.';
COMMENT ON TABLE operator_actions IS 'Who did what to what, when and why, by the console, the operator API or the CLI. Append-only.';
COMMENT ON COLUMN operator_actions.action IS 'login, logout, payload_revealed, message_revealed, person_searched, dead_replayed, dead_discarded, subject_shown, subject_exported or subject_erased.';
