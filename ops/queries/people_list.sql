-- The people found last, and the leads that led to them.
-- $1 most rows
SELECT p.cpf, p.cpf_sealed, p.name, p.updated_at,
    ARRAY(SELECT l.lead_id FROM lead_people l WHERE l.person_id = p.id ORDER BY l.updated_at DESC LIMIT 5) AS leads
FROM people p
ORDER BY p.updated_at DESC LIMIT $1;
