-- How things went, in equal stretches of time up to now; one row each, the oldest first.
-- $1 length of a stretch in seconds, $2 how many
-- Only events received or ended in that time count, and those that wait: the indexes find them.
WITH stretches AS (
    SELECT n, NOW() - make_interval(secs => $1 * ($2 - n)) AS early,
        NOW() - make_interval(secs => $1 * ($2 - n - 1)) AS late
    FROM generate_series(0, $2::int - 1) AS n
), events AS (
    SELECT status, received_at, processed_at, calls, message_ref FROM webhook_events
    WHERE received_at >= NOW() - make_interval(secs => $1 * $2) - INTERVAL '1 day'
        OR status IN ('received', 'processing')
)
SELECT s.early, s.late,
    count(e) FILTER (WHERE e.received_at >= s.early AND e.received_at < s.late) AS received,
    count(e) FILTER (WHERE e.status = 'success' AND e.processed_at >= s.early AND e.processed_at < s.late) AS success,
    count(e) FILTER (WHERE e.status = 'failed' AND e.processed_at >= s.early AND e.processed_at < s.late) AS failed,
    count(e) FILTER (WHERE e.received_at < s.late AND (e.processed_at IS NULL OR e.processed_at >= s.late)) AS waiting,
    (percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM e.processed_at - e.received_at)) FILTER (
        WHERE e.message_ref IS NOT NULL AND e.processed_at >= s.early AND e.processed_at < s.late))::float8 AS p50,
    (percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM e.processed_at - e.received_at)) FILTER (
        WHERE e.message_ref IS NOT NULL AND e.processed_at >= s.early AND e.processed_at < s.late))::float8 AS p95,
    coalesce(sum(CASE WHEN e.calls ->> 'c2s' ~ '^[0-9]{1,9}$' THEN (e.calls ->> 'c2s')::int END) FILTER (
        WHERE e.processed_at >= s.early AND e.processed_at < s.late), 0)::int AS c2s_calls,
    (SELECT count(*) FROM alerts a WHERE a.opened_at < s.late
        AND (a.resolved_at IS NULL OR a.resolved_at >= s.early)) AS alerts
FROM stretches s
LEFT JOIN events e ON e.received_at < s.late AND (e.processed_at IS NULL OR e.processed_at >= s.early
    OR e.received_at >= s.early)
GROUP BY s.n, s.early, s.late ORDER BY s.n;
