-- Calls are spent by attempts that end badly, too.

ALTER TABLE attempts ADD COLUMN calls JSONB;
COMMENT ON COLUMN attempts.calls IS 'Outside calls per API, of an attempt that ended badly; a good end has them in webhook_events. Null where there were none, or where it ended without a word.';

CREATE OR REPLACE FUNCTION stats_calls(since TIMESTAMPTZ)
RETURNS TABLE (api TEXT, calls NUMERIC, events BIGINT, calls_per_event NUMERIC) LANGUAGE sql STABLE AS $$
    WITH spent AS (
        SELECT w.id, w.calls FROM webhook_events w WHERE w.received_at >= since AND w.calls IS NOT NULL
        UNION ALL
        SELECT a.event_id, a.calls FROM attempts a
        WHERE a.ended_at >= since AND a.error_code IS NOT NULL AND a.calls IS NOT NULL
    )
    SELECT c.key, sum(c.value::numeric), count(DISTINCT s.id),
        round(sum(c.value::numeric) / count(DISTINCT s.id), 2)
    FROM spent s, jsonb_each_text(s.calls) AS c
    WHERE c.value ~ '^[0-9]{1,9}$'
    GROUP BY 1 ORDER BY 1
$$;
COMMENT ON FUNCTION stats_calls IS 'Outside calls by API, of all attempts that ended: well or badly.';
COMMENT ON VIEW daily_calls IS 'Outside calls spent in the last 24 hours, by all attempts that ended.';
