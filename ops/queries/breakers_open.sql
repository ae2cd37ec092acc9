-- When circuit breakers were open, as alerts have it; an alert's fingerprint is its rule and the API.
-- $1 how far back, in seconds
SELECT split_part(fingerprint, ':', 2) AS api, opened_at, coalesce(resolved_at, NOW()) AS closed_at
FROM alerts
WHERE rule = 'breaker_open' AND (resolved_at IS NULL OR resolved_at > NOW() - make_interval(secs => $1))
ORDER BY opened_at;
