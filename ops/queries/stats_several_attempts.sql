-- Leads com múltiplas tentativas
SELECT lead_id, COUNT(*), MAX(retry_count)
FROM webhook_events
GROUP BY lead_id
HAVING COUNT(*) > 1
ORDER BY COUNT(*) DESC;
