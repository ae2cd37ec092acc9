-- The newest webhooks with their bodies as they are stored.
-- $1 most rows
SELECT event_id, lead_id, payload
FROM event_log
WHERE type = 'webhook_accepted' AND payload IS NOT NULL
ORDER BY recorded_at DESC
LIMIT $1;
