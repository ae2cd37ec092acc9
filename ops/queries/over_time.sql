-- How things went, in equal stretches of time up to now; one row each, the oldest first.
-- $1 length of a stretch in seconds, $2 how many
-- Only events received or ended in that time count, and those that wait: the indexes find them. Each is put into the
-- stretch in which it came and the one in which it ended; what came before all of them is stretch -1.
WITH span AS (
    SELECT NOW() - make_interval(secs => $1::float8 * $2::int) AS start
), events AS (
    SELECT status, received_at, processed_at, calls, message_ref,
        greatest(floor(date_part('epoch', received_at - start) / $1::float8), -1)::int AS came,
        CASE WHEN processed_at IS NOT NULL  -- greatest() passes over nulls
            THEN greatest(floor(date_part('epoch', processed_at - start) / $1::float8), -1)::int END AS ended
    FROM webhook_events, span
    WHERE received_at >= NOW() - make_interval(secs => $1::float8 * $2::int) - INTERVAL '1 day'
        OR status IN ('received', 'processing')
), arrivals AS (
    SELECT came AS n, count(*) AS received FROM events GROUP BY came
), ends AS (
    SELECT ended AS n, count(*) AS ended,
        count(*) FILTER (WHERE status = 'success') AS success,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        (percentile_cont(0.5) WITHIN GROUP (ORDER BY date_part('epoch', processed_at - received_at))
            FILTER (WHERE message_ref IS NOT NULL))::float8 AS p50,
        (percentile_cont(0.95) WITHIN GROUP (ORDER BY date_part('epoch', processed_at - received_at))
            FILTER (WHERE message_ref IS NOT NULL))::float8 AS p95,
        coalesce(sum(CASE WHEN jsonb_typeof(calls -> 'c2s') = 'number'
            THEN least((calls -> 'c2s')::numeric, 1e9) END), 0)::bigint AS c2s_calls
    FROM events WHERE ended IS NOT NULL GROUP BY ended
), spent AS (  -- by attempts that ended badly
    SELECT floor(date_part('epoch', ended_at - start) / $1::float8)::int AS n, coalesce(sum(CASE
        WHEN jsonb_typeof(calls -> 'c2s') = 'number' THEN least((calls -> 'c2s')::numeric, 1e9) END), 0)::bigint AS calls
    FROM attempts, span
    WHERE error_code IS NOT NULL AND ended_at >= NOW() - make_interval(secs => $1::float8 * $2::int)
    GROUP BY 1
), counted AS (
    SELECT n, coalesce(received, 0) AS received, coalesce(success, 0) AS success, coalesce(failed, 0) AS failed,
        (sum(coalesce(received, 0) - coalesce(ended, 0)) OVER (ORDER BY n))::bigint AS waiting,
        p50, p95, coalesce(c2s_calls, 0) + coalesce(calls, 0) AS c2s_calls
    FROM generate_series(-1, $2::int - 1) AS n LEFT JOIN arrivals USING (n) LEFT JOIN ends USING (n)
        LEFT JOIN spent USING (n)
), stretches AS (
    SELECT c.*, start + make_interval(secs => $1::float8 * n) AS early,
        start + make_interval(secs => $1::float8 * (n + 1)) AS late
    FROM counted c, span WHERE n >= 0
)
SELECT early, late, received, success, failed, waiting, p50, p95, c2s_calls,
    (SELECT count(*) FROM alerts a WHERE a.opened_at < s.late
        AND (a.resolved_at IS NULL OR a.resolved_at >= s.early)) AS alerts
FROM stretches s ORDER BY n;
