-- The leads that changed last.
-- $1 lead id or null, $2 most rows, $3 and $4 time and lead id of the last one seen, or null
SELECT lead_id, event_id, hook_action, status, result, message_ref, updated_at
FROM lead_state
WHERE ($1::TEXT IS NULL OR lead_id = $1)
  AND ($3::TIMESTAMPTZ IS NULL OR (updated_at, lead_id) < ($3, $4::TEXT))
ORDER BY updated_at DESC, lead_id DESC LIMIT $2;
