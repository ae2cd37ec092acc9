-- Webhooks por status (últimas 24h)
SELECT status, COUNT(*), 
       AVG(EXTRACT(EPOCH FROM (processed_at - received_at))) as avg_duration_secs
FROM webhook_events 
WHERE received_at > NOW() - INTERVAL '24 hours'
GROUP BY status;
