-- The console lists the persons found last: without reading and sorting everyone.

CREATE INDEX idx_people_updated_at ON people(updated_at DESC);
