-- What a rebuild and the retention of the archive need to know, and the indexes of the operator's daily questions.

COMMENT ON TABLE schema_migrations IS 'The migrations applied here.';
COMMENT ON COLUMN schema_migrations.version IS 'Name of the file in schema/migrations, without .sql.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file as it was applied.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When.';

CREATE TABLE event_log_dropped (
    partition_name TEXT PRIMARY KEY,
    before TIMESTAMPTZ NOT NULL,
    entries BIGINT NOT NULL,
    dropped_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
COMMENT ON TABLE event_log_dropped IS 'What RETENTION_DAYS took from the archive; rows that old cannot be rebuilt, so a rebuild copies them.';
COMMENT ON COLUMN event_log_dropped.partition_name IS 'The month''s partition.';
COMMENT ON COLUMN event_log_dropped.before IS 'The end of that month: facts older than the latest of these may be missing from the archive.';
COMMENT ON COLUMN event_log_dropped.entries IS 'How many entries it held.';
COMMENT ON COLUMN event_log_dropped.dropped_at IS 'When it was dropped.';

ALTER TABLE people ADD COLUMN found_at TIMESTAMPTZ;
UPDATE people SET found_at = updated_at;
ALTER TABLE people ALTER COLUMN found_at SET NOT NULL;
COMMENT ON COLUMN people.found_at IS 'When it was first found.';
ALTER TABLE lead_people ADD COLUMN updated_at TIMESTAMPTZ;
UPDATE lead_people l SET updated_at = p.updated_at FROM people p WHERE p.id = l.person_id;
ALTER TABLE lead_people ALTER COLUMN updated_at SET NOT NULL;
COMMENT ON COLUMN lead_people.updated_at IS 'When that event found it.';

-- The plan's query of leads with several webhooks reads this alone.
CREATE INDEX idx_webhook_events_lead_retries ON webhook_events(lead_id, retry_count);
DROP INDEX idx_webhook_events_lead_id;
ALTER INDEX idx_webhook_events_lead_retries RENAME TO idx_webhook_events_lead_id;
-- What waits now is few, whatever the table holds.
CREATE INDEX idx_webhook_events_waiting ON webhook_events(received_at) WHERE status IN ('received', 'processing');
CREATE INDEX idx_webhook_duplicates_received_at ON webhook_duplicates(received_at DESC);
CREATE INDEX idx_attempts_errors ON attempts(ended_at DESC) WHERE error_code IS NOT NULL;
CREATE INDEX idx_lead_state_updated_at ON lead_state(updated_at DESC);
