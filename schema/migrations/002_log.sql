-- The archive: every entry of both streams, append-only, by month; where the projector stands; the spool.

CREATE TABLE event_log (
    recorded_at TIMESTAMPTZ NOT NULL,
    partition SMALLINT NOT NULL,
    stream TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    type TEXT NOT NULL,
    event_id UUID,
    lead_id TEXT,
    hook_action TEXT,
    fields JSONB NOT NULL,
    payload TEXT,
    PRIMARY KEY (recorded_at, partition, stream, entry_id)
) PARTITION BY RANGE (recorded_at);
CREATE TABLE event_log_default PARTITION OF event_log DEFAULT;
CREATE INDEX idx_event_log_event_id ON event_log(event_id);
COMMENT ON TABLE event_log IS 'Append-only archive of every stream entry; everything can be rebuilt from it.';
COMMENT ON COLUMN event_log.recorded_at IS 'The entry''s time: the milliseconds of its stream id.';
COMMENT ON COLUMN event_log.partition IS 'Partition of the stream.';
COMMENT ON COLUMN event_log.stream IS 'webhooks or outcomes.';
COMMENT ON COLUMN event_log.entry_id IS 'The entry''s stream id.';
COMMENT ON COLUMN event_log.type IS 'webhook_accepted or the outcome''s type.';
COMMENT ON COLUMN event_log.event_id IS 'The event; null where the entry does not decode.';
COMMENT ON COLUMN event_log.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN event_log.hook_action IS 'The action.';
COMMENT ON COLUMN event_log.fields IS 'All other fields, as they stood.';
COMMENT ON COLUMN event_log.payload IS 'The payload, byte for byte as stored.';

-- Months ahead get partitions of their own; the default one only ever catches what nobody foresaw.
CREATE FUNCTION ensure_event_log_partitions(first TIMESTAMPTZ, months INT) RETURNS VOID AS $$
DECLARE
    month TIMESTAMP := date_trunc('month', first AT TIME ZONE 'UTC');
    name TEXT;
BEGIN
    FOR i IN 0..months - 1 LOOP
        name := 'event_log_' || to_char(month, 'YYYY_MM');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF event_log FOR VALUES FROM (%L) TO (%L)', name,
                (month AT TIME ZONE 'UTC'), ((month + INTERVAL '1 month') AT TIME ZONE 'UTC'));
        END IF;
        month := month + INTERVAL '1 month';
    END LOOP;
END $$ LANGUAGE plpgsql;

CREATE TABLE projection_checkpoints (
    name TEXT NOT NULL,
    partition SMALLINT NOT NULL,
    stream TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    PRIMARY KEY (name, partition, stream)
);
COMMENT ON TABLE projection_checkpoints IS 'How far each stream is projected; written in the rows'' own transaction.';
COMMENT ON COLUMN projection_checkpoints.name IS 'The projector.';
COMMENT ON COLUMN projection_checkpoints.partition IS 'Partition of the stream.';
COMMENT ON COLUMN projection_checkpoints.stream IS 'webhooks or outcomes.';
COMMENT ON COLUMN projection_checkpoints.entry_id IS 'The last entry projected.';
COMMENT ON COLUMN projection_checkpoints.updated_at IS 'When.';

CREATE TABLE attempts (
    event_id UUID NOT NULL,
    fence BIGINT NOT NULL,
    attempt INT NOT NULL,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    ending TEXT,
    step TEXT,
    error_code TEXT,
    error_api TEXT,
    error_message TEXT,
    instance TEXT,
    PRIMARY KEY (event_id, fence)
);
COMMENT ON TABLE attempts IS 'One row per attempt.';
COMMENT ON COLUMN attempts.event_id IS 'The event.';
COMMENT ON COLUMN attempts.fence IS 'The attempt''s fence.';
COMMENT ON COLUMN attempts.attempt IS 'Its number within its series.';
COMMENT ON COLUMN attempts.started_at IS 'When the lease was taken.';
COMMENT ON COLUMN attempts.ended_at IS 'When its end was recorded; null where it crashed or is in work.';
COMMENT ON COLUMN attempts.ending IS 'Type of the outcome that ended it.';
COMMENT ON COLUMN attempts.step IS 'The step that failed.';
COMMENT ON COLUMN attempts.error_code IS 'Stable short code.';
COMMENT ON COLUMN attempts.error_api IS 'The outside API concerned.';
COMMENT ON COLUMN attempts.error_message IS 'What happened, without personal data.';
COMMENT ON COLUMN attempts.instance IS 'Who made it.';

CREATE TABLE ingress_spool (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id UUID NOT NULL,
    lead_id TEXT NOT NULL,
    action TEXT NOT NULL,
    version TEXT NOT NULL,
    source TEXT NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    traceparent TEXT NOT NULL DEFAULT '',
    payload TEXT NOT NULL,
    dedup_key TEXT NOT NULL,
    known BOOLEAN NOT NULL,
    spooled_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    drained_at TIMESTAMPTZ
);
CREATE INDEX idx_ingress_spool_undrained ON ingress_spool(id) WHERE drained_at IS NULL;
COMMENT ON TABLE ingress_spool IS 'Webhooks accepted while Redis was away, in order; drained into the stream when it is back.';
COMMENT ON COLUMN ingress_spool.id IS 'Order of acceptance.';
COMMENT ON COLUMN ingress_spool.event_id IS 'The event id it will have.';
COMMENT ON COLUMN ingress_spool.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN ingress_spool.action IS 'The action.';
COMMENT ON COLUMN ingress_spool.version IS 'What tells two updates apart.';
COMMENT ON COLUMN ingress_spool.source IS 'webhook or trigger.';
COMMENT ON COLUMN ingress_spool.received_at IS 'When the door took it.';
COMMENT ON COLUMN ingress_spool.traceparent IS 'W3C trace context.';
COMMENT ON COLUMN ingress_spool.payload IS 'The body, as the codec stores it.';
COMMENT ON COLUMN ingress_spool.dedup_key IS 'What makes it the same webhook as another.';
COMMENT ON COLUMN ingress_spool.known IS 'Whether the action is one that is processed.';
COMMENT ON COLUMN ingress_spool.spooled_at IS 'When it was written here.';
COMMENT ON COLUMN ingress_spool.drained_at IS 'When it reached the stream; null until then.';
