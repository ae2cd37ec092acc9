-- The leads that changed last.
-- $1 lead id or null, $2 most rows
SELECT lead_id, event_id, hook_action, status, result, message_ref, updated_at
FROM lead_state
WHERE $1::TEXT IS NULL OR lead_id = $1
ORDER BY updated_at DESC LIMIT $2;
