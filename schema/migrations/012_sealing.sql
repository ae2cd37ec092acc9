-- Sealing: keys that live in the record, wrapped by PAYLOAD_KEYS, and persons stored under keys of their own.

CREATE TABLE data_keys (
    name TEXT PRIMARY KEY,
    wrapped TEXT NOT NULL,
    made_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
COMMENT ON TABLE data_keys IS 'Keys wrapped by PAYLOAD_KEYS: one for keyed hashes, one per person. Deleting a person''s makes their rows unreadable for ever.';
COMMENT ON COLUMN data_keys.name IS 'index, or person:<the keyed hash that stands in people.cpf>.';
COMMENT ON COLUMN data_keys.wrapped IS 'The key, sealed; `c2s keys rotate` wraps it anew.';
COMMENT ON COLUMN data_keys.made_at IS 'When it was made.';

ALTER TABLE people ADD COLUMN cpf_sealed TEXT;
COMMENT ON COLUMN people.cpf IS 'Eleven digits; with PAYLOAD_KEYS a keyed hash of them.';
COMMENT ON COLUMN people.cpf_sealed IS 'With PAYLOAD_KEYS: the eleven digits under the person''s own key; else null.';
COMMENT ON COLUMN people.name IS 'Name as found; with PAYLOAD_KEYS under the person''s own key.';
COMMENT ON COLUMN people.profile IS 'Allow-listed profile as JSON text; with PAYLOAD_KEYS under the person''s own key.';
