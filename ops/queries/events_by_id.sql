-- Events as events_list shows them, newest first.
-- $1 event ids
SELECT id AS event_id, lead_id, hook_action, status, result, received_at, processed_at,
       EXTRACT(EPOCH FROM (processed_at - received_at))::FLOAT8 AS seconds,
       retry_count, duplicate_count, error_message
FROM webhook_events
WHERE id = ANY($1::UUID[])
ORDER BY received_at DESC, id DESC;
