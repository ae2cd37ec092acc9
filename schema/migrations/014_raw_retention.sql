-- Raw payloads are dropped after RAW_RETENTION_HOURS: which archived entries still hold one, oldest first.

CREATE INDEX idx_event_log_payload ON event_log(recorded_at) WHERE payload IS NOT NULL;
COMMENT ON COLUMN event_log.payload IS 'The payload, byte for byte as stored; null where there was none, or once its retention was over.';
COMMENT ON COLUMN webhook_events.raw_payload IS 'The webhook''s body (NUL characters replaced; the archive keeps the bytes); a JSON string where sealed; null once its retention was over.';
COMMENT ON COLUMN webhook_duplicates.payload IS 'The body of this repeat, as the codec stores it; empty once its retention was over.';
