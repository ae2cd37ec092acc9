-- Taxa de sucesso
SELECT 
  ROUND(100.0 * SUM(CASE WHEN status='success' THEN 1 ELSE 0 END) / COUNT(*), 2) as success_rate
FROM webhook_events
WHERE received_at > NOW() - INTERVAL '24 hours';
