-- What alerts ask of the record, in one row.
-- $1 the window, in seconds; $2 failed attempts that an event may have; $3 why a vanished entry is replayed
WITH since AS (SELECT NOW() - make_interval(secs => $1) AS at)
SELECT
    (SELECT count(*) FROM webhook_events WHERE status IN ('received', 'processing') AND retry_count > $2)
        + (SELECT count(*) FROM webhook_events, since
           WHERE received_at > since.at AND status NOT IN ('received', 'processing') AND retry_count > $2)
        AS retrying,
    (SELECT count(*) FROM webhook_events, since
     WHERE status = 'failed' AND processed_at > since.at
       AND (error_api = 'c2s' OR error_message ILIKE '%c2s%')) AS c2s_failures,
    (SELECT count(*) FROM webhook_events, since WHERE received_at > since.at AND source = 'webhook') AS events,
    (SELECT count(*) FROM webhook_duplicates, since
     WHERE received_at > since.at AND source = 'webhook') AS duplicates,
    (SELECT coalesce(jsonb_object_agg(api, n), '{}') FROM (
        SELECT coalesce(error_api, '') AS api, count(*) AS n FROM webhook_events
        WHERE status IN ('received', 'processing') AND error_code LIKE '%unauthorized' GROUP BY 1) AS refused
    )::text AS refused,
    (SELECT count(*) FROM event_log, since
     WHERE recorded_at > since.at AND type = 'event_replayed' AND fields ->> 'reason' = $3) AS vanished,
    (SELECT count(*) FROM ingress_spool WHERE drained_at IS NULL) AS spooled;
