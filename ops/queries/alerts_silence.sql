-- How long no webhook has come, and the longest gap around the same hour and weekday in each of the last weeks.
-- $1 how many weeks back to look; $2 half of the stretch around that moment, in seconds
-- A week counts where a webhook came in the seven days before that stretch: the system was there.
SELECT extract(epoch FROM NOW() - (SELECT max(received_at) FROM webhook_events
        WHERE source = 'webhook' AND received_at <= NOW()))::float8 AS silent_s,
    coalesce((SELECT array_agg(gap_s ORDER BY week) FROM (
        SELECT week, extract(epoch FROM max(next - at))::float8 AS gap_s
        FROM generate_series(1, $1::int) AS week
        CROSS JOIN LATERAL (
            SELECT NOW() - week * INTERVAL '7 days' - make_interval(secs => $2) AS early,
                NOW() - week * INTERVAL '7 days' + make_interval(secs => $2) AS late
        ) AS stretch
        CROSS JOIN LATERAL (
            SELECT at, lead(at) OVER (ORDER BY at) AS next FROM (
                (SELECT received_at AS at FROM webhook_events
                 WHERE source = 'webhook' AND received_at < early AND received_at > early - INTERVAL '7 days'
                 ORDER BY received_at DESC LIMIT 1)
                UNION ALL
                (SELECT received_at FROM webhook_events
                 WHERE source = 'webhook' AND received_at BETWEEN early AND late)
                UNION ALL
                (SELECT received_at FROM webhook_events WHERE source = 'webhook' AND received_at > late
                 ORDER BY received_at LIMIT 1)
            ) AS arrivals
        ) AS gaps
        WHERE EXISTS (SELECT FROM webhook_events WHERE source = 'webhook'
            AND received_at < early AND received_at > early - INTERVAL '7 days')
        GROUP BY week HAVING max(next - at) IS NOT NULL
    ) AS weeks), '{}') AS gaps_s;
