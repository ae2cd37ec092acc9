-- Webhooks that wait in the spool until Redis is back, of one event or one lead (one of the two is null).
-- $1 event id, $2 lead id
SELECT event_id, lead_id, action, received_at, spooled_at
FROM ingress_spool
WHERE drained_at IS NULL AND (event_id = $1 OR lead_id = $2)
ORDER BY id;
