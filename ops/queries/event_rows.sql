-- The rows of one event, or of all events of a lead (one of the two is null), oldest first.
-- $1 event id, $2 lead id
SELECT id AS event_id, lead_id, hook_action, status, result, received_at, processed_at,
       attempt, retry_count, duplicate_count, error_message, retry_at, message_ref, source, version
FROM webhook_events
WHERE id = $1 OR lead_id = $2
ORDER BY received_at, id;
