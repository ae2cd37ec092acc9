-- The people found last, and the leads that led to them.
-- $1 most rows, $2 and $3 time and id of the last one seen, or null
SELECT p.id, p.cpf, p.cpf_sealed, p.name, p.updated_at,
    ARRAY(SELECT l.lead_id FROM lead_people l WHERE l.person_id = p.id ORDER BY l.updated_at DESC LIMIT 5) AS leads
FROM people p
WHERE $2::TIMESTAMPTZ IS NULL OR (p.updated_at, p.id) < ($2, $3::BIGINT)
ORDER BY p.updated_at DESC, p.id DESC LIMIT $1;
