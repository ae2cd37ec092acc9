-- What alerts ask of the record, in one row.
-- $1 the window, in seconds; $2 failed attempts that an event may have; $3 why a vanished entry is replayed
-- The window's start is written out each time: so the planner takes the indexes and skips old partitions.
SELECT
    (SELECT count(*) FROM webhook_events WHERE status IN ('received', 'processing') AND retry_count > $2)
        + (SELECT count(*) FROM webhook_events
           WHERE received_at > NOW() - make_interval(secs => $1)
             AND status NOT IN ('received', 'processing') AND retry_count > $2)
        AS retrying,
    (SELECT count(*) FROM dead_letters d JOIN webhook_events w ON w.id = d.event_id
     WHERE d.dead_at > NOW() - make_interval(secs => $1) AND w.status = 'failed'
       AND (w.error_api = 'c2s' OR w.error_message ILIKE '%c2s%')) AS c2s_failures,
    (SELECT count(*) FROM webhook_events
     WHERE received_at > NOW() - make_interval(secs => $1) AND source = 'webhook') AS events,
    (SELECT count(*) FROM webhook_duplicates
     WHERE received_at > NOW() - make_interval(secs => $1) AND source = 'webhook') AS duplicates,
    (SELECT coalesce(jsonb_object_agg(api, n), '{}') FROM (
        SELECT coalesce(error_api, '') AS api, count(*) AS n FROM webhook_events
        WHERE status IN ('received', 'processing') AND error_code LIKE '%unauthorized' GROUP BY 1) AS refused
    )::text AS refused,
    (SELECT count(*) FROM event_log
     WHERE recorded_at > NOW() - make_interval(secs => $1)
       AND type = 'event_replayed' AND fields ->> 'reason' = $3) AS vanished,
    (SELECT count(*) FROM ingress_spool WHERE drained_at IS NULL) AS spooled;
