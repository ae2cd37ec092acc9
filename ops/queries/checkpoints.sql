-- How far each stream is in the record; what comes after is in Redis only.
SELECT partition, stream, entry_id FROM projection_checkpoints;
