-- Events that were given up, whether an attempt was spent, and months that several writers may open at once.

CREATE TABLE dead_letters (
    event_id UUID PRIMARY KEY,
    lead_id TEXT NOT NULL,
    hook_action TEXT NOT NULL,
    dead_at TIMESTAMPTZ NOT NULL,
    step TEXT,
    error_code TEXT,
    error_message TEXT,
    attempts INT NOT NULL
);
CREATE INDEX idx_dead_letters_dead_at ON dead_letters(dead_at DESC);
COMMENT ON TABLE dead_letters IS 'One row per event that is given up now; a replay takes it away (the archive keeps the fact).';
COMMENT ON COLUMN dead_letters.event_id IS 'The event.';
COMMENT ON COLUMN dead_letters.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN dead_letters.hook_action IS 'The action.';
COMMENT ON COLUMN dead_letters.dead_at IS 'When it was given up.';
COMMENT ON COLUMN dead_letters.step IS 'The step that failed last.';
COMMENT ON COLUMN dead_letters.error_code IS 'Stable short code of the last error.';
COMMENT ON COLUMN dead_letters.error_message IS 'What happened, without personal data.';
COMMENT ON COLUMN dead_letters.attempts IS 'Attempts made in its series.';

ALTER TABLE attempts ADD COLUMN counted BOOLEAN;
COMMENT ON COLUMN attempts.counted IS 'False where the outside world said wait, so no attempt was spent; null until it ended.';
COMMENT ON COLUMN webhook_events.result IS 'sent, no_match, dry_run, recorded, unchanged, superseded or ignored; null until its end.';

-- A migration and a projector may open the same month at once: one waits for the other. A month whose rows
-- already lie in the default partition stays there, because Postgres refuses to split them off.
CREATE OR REPLACE FUNCTION ensure_event_log_partitions(first TIMESTAMPTZ, months INT) RETURNS VOID AS $$
DECLARE
    month TIMESTAMP := date_trunc('month', first AT TIME ZONE 'UTC');
    name TEXT;
BEGIN
    FOR i IN 0..months - 1 LOOP
        name := 'event_log_' || to_char(month, 'YYYY_MM');
        IF to_regclass(name) IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtext('ensure_event_log_partitions'));
            BEGIN
                EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF event_log FOR VALUES FROM (%L) TO (%L)',
                    name, (month AT TIME ZONE 'UTC'), ((month + INTERVAL '1 month') AT TIME ZONE 'UTC'));
            EXCEPTION WHEN check_violation THEN
                RAISE NOTICE 'rows of % stay in event_log_default', name;
            END;
        END IF;
        month := month + INTERVAL '1 month';
    END LOOP;
END $$ LANGUAGE plpgsql;
COMMENT ON FUNCTION ensure_event_log_partitions(TIMESTAMPTZ, INT) IS 'Opens the monthly partitions of event_log, from the month of first on.';
