-- The newest events that pass the filters; a null filter lets everything pass.
-- $1 lead id, $2 status, $3 action, $4 received since, $5 most rows, $6 and $7 receipt and id of the last one seen,
-- $8 received before
SELECT id AS event_id, lead_id, hook_action, status, result, received_at, processed_at,
       EXTRACT(EPOCH FROM (processed_at - received_at))::FLOAT8 AS seconds,
       retry_count, duplicate_count, error_message
FROM webhook_events
WHERE ($1::TEXT IS NULL OR lead_id = $1)
  AND ($2::TEXT IS NULL OR status = $2)
  AND ($3::TEXT IS NULL OR hook_action = $3)
  AND ($4::TIMESTAMPTZ IS NULL OR received_at >= $4)
  AND ($8::TIMESTAMPTZ IS NULL OR received_at < $8)
  AND ($6::TIMESTAMPTZ IS NULL OR (received_at, id) < ($6, $7::UUID))
ORDER BY received_at DESC, id DESC
LIMIT $5;
