-- What an operator asks every day. Each question is a function of the time since when, and a view of it over the
-- last 24 hours for psql and dashboards. The functions' bodies are text on purpose: they find their tables by
-- name whenever they are asked, so a rebuild may exchange the tables under them.

CREATE FUNCTION stats_status_by_hour(since TIMESTAMPTZ)
RETURNS TABLE (hour TIMESTAMPTZ, status TEXT, events BIGINT) LANGUAGE sql STABLE AS $$
    SELECT date_trunc('hour', w.received_at), w.status, count(*)
    FROM webhook_events w WHERE w.received_at >= since GROUP BY 1, 2 ORDER BY 1, 2
$$;
COMMENT ON FUNCTION stats_status_by_hour IS 'Events by hour of receipt and status.';
CREATE VIEW daily_status_by_hour AS SELECT * FROM stats_status_by_hour(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_status_by_hour IS 'Events of the last 24 hours by hour of receipt and status.';
COMMENT ON COLUMN daily_status_by_hour.hour IS 'The hour''s beginning.';
COMMENT ON COLUMN daily_status_by_hour.status IS 'As in webhook_events.';
COMMENT ON COLUMN daily_status_by_hour.events IS 'How many.';

CREATE FUNCTION stats_latency(since TIMESTAMPTZ)
RETURNS TABLE (hook_action TEXT, messages BIGINT, p50_secs NUMERIC, p90_secs NUMERIC, p99_secs NUMERIC,
    max_secs NUMERIC) LANGUAGE sql STABLE AS $$
    SELECT s.hook_action, count(*), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY s.secs)::numeric, 3),
        round(percentile_cont(0.9) WITHIN GROUP (ORDER BY s.secs)::numeric, 3),
        round(percentile_cont(0.99) WITHIN GROUP (ORDER BY s.secs)::numeric, 3), round(max(s.secs)::numeric, 3)
    FROM (
        SELECT w.hook_action, extract(epoch FROM w.processed_at - w.received_at)::float8 AS secs
        FROM webhook_events w
        WHERE w.received_at >= since AND w.message_ref IS NOT NULL AND w.processed_at IS NOT NULL
    ) AS s GROUP BY 1 ORDER BY 1
$$;
COMMENT ON FUNCTION stats_latency IS 'Seconds from a webhook''s acceptance to its message.';
CREATE VIEW daily_latency AS SELECT * FROM stats_latency(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_latency IS 'Seconds from acceptance to the message on the lead, last 24 hours.';
COMMENT ON COLUMN daily_latency.hook_action IS 'The webhook''s action.';
COMMENT ON COLUMN daily_latency.messages IS 'Events that ended with a message.';
COMMENT ON COLUMN daily_latency.p50_secs IS 'Half of them were faster.';
COMMENT ON COLUMN daily_latency.p90_secs IS 'Nine of ten were faster.';
COMMENT ON COLUMN daily_latency.p99_secs IS 'All but one in a hundred were faster.';
COMMENT ON COLUMN daily_latency.max_secs IS 'The slowest.';

CREATE FUNCTION stats_success(since TIMESTAMPTZ)
RETURNS TABLE (events BIGINT, success BIGINT, failed BIGINT, waiting BIGINT, success_rate NUMERIC)
LANGUAGE sql STABLE AS $$
    SELECT count(*), count(*) FILTER (WHERE w.status = 'success'), count(*) FILTER (WHERE w.status = 'failed'),
        count(*) FILTER (WHERE w.status IN ('received', 'processing')),
        round(100.0 * count(*) FILTER (WHERE w.status = 'success')
            / nullif(count(*) FILTER (WHERE w.status IN ('success', 'failed')), 0), 2)
    FROM webhook_events w WHERE w.received_at >= since
$$;
COMMENT ON FUNCTION stats_success IS 'How events ended, and the percentage of good ends among the ended.';
CREATE VIEW daily_success AS SELECT * FROM stats_success(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_success IS 'How the events of the last 24 hours ended.';
COMMENT ON COLUMN daily_success.events IS 'All that were received.';
COMMENT ON COLUMN daily_success.success IS 'Of these, with a good end.';
COMMENT ON COLUMN daily_success.failed IS 'Given up.';
COMMENT ON COLUMN daily_success.waiting IS 'Without an end so far.';
COMMENT ON COLUMN daily_success.success_rate IS 'Percentage of good ends among those that ended; null where none did.';

CREATE FUNCTION stats_duplicates(since TIMESTAMPTZ)
RETURNS TABLE (webhooks BIGINT, duplicates BIGINT, duplicate_rate NUMERIC) LANGUAGE sql STABLE AS $$
    SELECT e.n + d.n, d.n, round(100.0 * d.n / nullif(e.n + d.n, 0), 2)
    FROM (SELECT count(*) AS n FROM webhook_events WHERE received_at >= since) AS e,
        (SELECT count(*) AS n FROM webhook_duplicates WHERE received_at >= since) AS d
$$;
COMMENT ON FUNCTION stats_duplicates IS 'Webhooks that were repeats.';
CREATE VIEW daily_duplicates AS SELECT * FROM stats_duplicates(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_duplicates IS 'Repeats among the webhooks of the last 24 hours.';
COMMENT ON COLUMN daily_duplicates.webhooks IS 'All that came, repeats included.';
COMMENT ON COLUMN daily_duplicates.duplicates IS 'Repeats.';
COMMENT ON COLUMN daily_duplicates.duplicate_rate IS 'Percentage of repeats; null where nothing came.';

CREATE FUNCTION stats_retries(since TIMESTAMPTZ)
RETURNS TABLE (retry_count INT, events BIGINT, success BIGINT, failed BIGINT, waiting BIGINT)
LANGUAGE sql STABLE AS $$
    SELECT w.retry_count, count(*), count(*) FILTER (WHERE w.status = 'success'),
        count(*) FILTER (WHERE w.status = 'failed'), count(*) FILTER (WHERE w.status IN ('received', 'processing'))
    FROM webhook_events w WHERE w.received_at >= since GROUP BY 1 ORDER BY 1
$$;
COMMENT ON FUNCTION stats_retries IS 'Events by the number of failed attempts.';
CREATE VIEW daily_retries AS SELECT * FROM stats_retries(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_retries IS 'Events of the last 24 hours by the number of failed attempts.';
COMMENT ON COLUMN daily_retries.retry_count IS 'Failed attempts.';
COMMENT ON COLUMN daily_retries.events IS 'Events with so many.';
COMMENT ON COLUMN daily_retries.success IS 'Of these, with a good end.';
COMMENT ON COLUMN daily_retries.failed IS 'Given up.';
COMMENT ON COLUMN daily_retries.waiting IS 'Without an end so far.';

CREATE FUNCTION stats_errors(since TIMESTAMPTZ)
RETURNS TABLE (error_api TEXT, error_code TEXT, step TEXT, failures BIGINT, uncounted BIGINT, events BIGINT,
    last_at TIMESTAMPTZ) LANGUAGE sql STABLE AS $$
    SELECT a.error_api, a.error_code, a.step, count(*), count(*) FILTER (WHERE NOT a.counted),
        count(DISTINCT a.event_id), max(a.ended_at)
    FROM attempts a WHERE a.ended_at >= since AND a.error_code IS NOT NULL
    GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3
$$;
COMMENT ON FUNCTION stats_errors IS 'Failed attempts by outside API, error and step.';
CREATE VIEW daily_errors AS SELECT * FROM stats_errors(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_errors IS 'Attempts that failed in the last 24 hours, by outside API, error and step.';
COMMENT ON COLUMN daily_errors.error_api IS 'The outside API concerned; null where none was.';
COMMENT ON COLUMN daily_errors.error_code IS 'Stable short code.';
COMMENT ON COLUMN daily_errors.step IS 'The step that failed.';
COMMENT ON COLUMN daily_errors.failures IS 'Attempts that failed so.';
COMMENT ON COLUMN daily_errors.uncounted IS 'Of these, only told to wait: no attempt was spent.';
COMMENT ON COLUMN daily_errors.events IS 'Events concerned.';
COMMENT ON COLUMN daily_errors.last_at IS 'The last time.';

CREATE FUNCTION stats_calls(since TIMESTAMPTZ)
RETURNS TABLE (api TEXT, calls NUMERIC, events BIGINT, calls_per_event NUMERIC) LANGUAGE sql STABLE AS $$
    SELECT c.key, sum(c.value::numeric), count(*), round(avg(c.value::numeric), 2)
    FROM webhook_events w, jsonb_each_text(w.calls) AS c
    WHERE w.received_at >= since AND w.calls IS NOT NULL AND c.value ~ '^[0-9]{1,9}$'
    GROUP BY 1 ORDER BY 1
$$;
COMMENT ON FUNCTION stats_calls IS 'Outside calls by API, of the attempts that ended well.';
CREATE VIEW daily_calls AS SELECT * FROM stats_calls(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_calls IS 'Outside calls spent on events of the last 24 hours, by the attempts that ended well.';
COMMENT ON COLUMN daily_calls.api IS 'c2s, diretrix or work.';
COMMENT ON COLUMN daily_calls.calls IS 'How many.';
COMMENT ON COLUMN daily_calls.events IS 'Events that needed any.';
COMMENT ON COLUMN daily_calls.calls_per_event IS 'Calls per such event.';

CREATE FUNCTION stats_without_message(since TIMESTAMPTZ)
RETURNS TABLE (lead_id TEXT, event_id UUID, received_at TIMESTAMPTZ, status TEXT, result TEXT, error_code TEXT,
    error_message TEXT) LANGUAGE sql STABLE AS $$
    SELECT w.lead_id, w.id, w.received_at, w.status, w.result, w.error_code, w.error_message
    FROM webhook_events w
    WHERE w.received_at >= since AND w.hook_action = 'on_create_lead' AND w.message_ref IS NULL
        AND NOT EXISTS (SELECT 1 FROM webhook_events m WHERE m.lead_id = w.lead_id AND m.message_ref IS NOT NULL)
    ORDER BY w.received_at
$$;
COMMENT ON FUNCTION stats_without_message IS 'New leads that have no message of ours, oldest first.';
CREATE VIEW daily_without_message AS SELECT * FROM stats_without_message(NOW() - INTERVAL '24 hours');
COMMENT ON VIEW daily_without_message IS 'New leads of the last 24 hours that have no message of ours, oldest first.';
COMMENT ON COLUMN daily_without_message.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN daily_without_message.event_id IS 'The event that announced it.';
COMMENT ON COLUMN daily_without_message.received_at IS 'When.';
COMMENT ON COLUMN daily_without_message.status IS 'As in webhook_events.';
COMMENT ON COLUMN daily_without_message.result IS 'How it ended; null until then.';
COMMENT ON COLUMN daily_without_message.error_code IS 'Stable short code of the last error.';
COMMENT ON COLUMN daily_without_message.error_message IS 'What happened, without personal data.';

CREATE FUNCTION stats_waiting()
RETURNS TABLE (lead_id TEXT, event_id UUID, hook_action TEXT, status TEXT, received_at TIMESTAMPTZ,
    waiting_secs NUMERIC, retry_at TIMESTAMPTZ, retry_count INT, error_code TEXT) LANGUAGE sql STABLE AS $$
    SELECT w.lead_id, w.id, w.hook_action, w.status, w.received_at,
        round(extract(epoch FROM NOW() - w.received_at), 1), w.retry_at, w.retry_count, w.error_code
    FROM webhook_events w WHERE w.status IN ('received', 'processing') ORDER BY w.received_at
$$;
COMMENT ON FUNCTION stats_waiting IS 'Events without an end, oldest first.';
CREATE VIEW waiting_leads AS SELECT * FROM stats_waiting();
COMMENT ON VIEW waiting_leads IS 'Events without an end, whenever they came, the longest waiting first.';
COMMENT ON COLUMN waiting_leads.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN waiting_leads.event_id IS 'The event.';
COMMENT ON COLUMN waiting_leads.hook_action IS 'Its action.';
COMMENT ON COLUMN waiting_leads.status IS 'received or processing.';
COMMENT ON COLUMN waiting_leads.received_at IS 'When it came.';
COMMENT ON COLUMN waiting_leads.waiting_secs IS 'Seconds since then.';
COMMENT ON COLUMN waiting_leads.retry_at IS 'When the next attempt is due.';
COMMENT ON COLUMN waiting_leads.retry_count IS 'Failed attempts so far.';
COMMENT ON COLUMN waiting_leads.error_code IS 'Stable short code of the last error.';
