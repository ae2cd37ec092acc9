-- Everything the archive holds of some events, in the order of the streams.
-- $1 event ids
SELECT partition, stream, entry_id, type, event_id, lead_id, hook_action, fields, payload
FROM event_log
WHERE event_id = ANY($1::UUID[])
ORDER BY recorded_at, stream DESC, entry_id;
