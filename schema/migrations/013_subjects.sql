-- Subjects: who a phone, an e-mail or a CPF belongs to and in which leads; what was erased; who looked at whom.

CREATE TABLE subjects (
    id UUID PRIMARY KEY,
    first_seen_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE subjects IS 'One row per person we hold something about, under a random id.';
COMMENT ON COLUMN subjects.id IS 'Random: it says nothing of the person, and a later one of the same person is another.';
COMMENT ON COLUMN subjects.first_seen_at IS 'Time of the first fact that named them.';

CREATE TABLE subject_index (
    hash TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('phone', 'email', 'cpf')),
    subject_id UUID NOT NULL REFERENCES subjects(id) ON DELETE CASCADE
);
CREATE INDEX idx_subject_index_subject_id ON subject_index(subject_id);
COMMENT ON TABLE subject_index IS 'From a phone, an e-mail or a CPF to its subject; the texts themselves are not here.';
COMMENT ON COLUMN subject_index.hash IS 'HMAC-SHA256 of kind and normalised text under the key `subjects` of data_keys.';
COMMENT ON COLUMN subject_index.kind IS 'phone, email or cpf.';
COMMENT ON COLUMN subject_index.subject_id IS 'Whose it is: of whoever had it first.';

CREATE TABLE subject_leads (
    subject_id UUID NOT NULL REFERENCES subjects(id) ON DELETE CASCADE,
    lead_id TEXT NOT NULL,
    PRIMARY KEY (subject_id, lead_id)
);
CREATE INDEX idx_subject_leads_lead_id ON subject_leads(lead_id);
COMMENT ON TABLE subject_leads IS 'The leads that hold something about a subject.';
COMMENT ON COLUMN subject_leads.subject_id IS 'The subject.';
COMMENT ON COLUMN subject_leads.lead_id IS 'The lead at C2S.';

CREATE TABLE subject_erasures (
    id UUID PRIMARY KEY,
    requested_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    finished_at TIMESTAMPTZ,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    hashes TEXT[] NOT NULL,
    counts JSONB NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE subject_erasures IS 'The proof that a person was erased, without saying who: kept for good.';
COMMENT ON COLUMN subject_erasures.id IS 'The erasure.';
COMMENT ON COLUMN subject_erasures.requested_at IS 'When it began.';
COMMENT ON COLUMN subject_erasures.finished_at IS 'When nothing was left; null while it runs or where it was interrupted: `c2s subject reapply`.';
COMMENT ON COLUMN subject_erasures.actor IS 'Who asked for it: the operator''s account and machine.';
COMMENT ON COLUMN subject_erasures.reason IS 'Why, in the operator''s words; no names here.';
COMMENT ON COLUMN subject_erasures.hashes IS 'Keyed hashes of the phones, e-mails and CPFs: who knows one of them can check that it was erased.';
COMMENT ON COLUMN subject_erasures.counts IS 'What was removed, by place.';

CREATE TABLE erased_events (
    event_id UUID PRIMARY KEY,
    lead_id TEXT NOT NULL,
    erasure_id UUID NOT NULL REFERENCES subject_erasures(id)
);
CREATE INDEX idx_erased_events_lead_id ON erased_events(lead_id);
COMMENT ON TABLE erased_events IS 'Tombstones: facts of these events are recorded without personal data, and never go back to work.';
COMMENT ON COLUMN erased_events.event_id IS 'The event.';
COMMENT ON COLUMN erased_events.lead_id IS 'Its lead at C2S.';
COMMENT ON COLUMN erased_events.erasure_id IS 'The erasure.';

CREATE TABLE access_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subjects UUID[] NOT NULL,
    leads INT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX idx_access_log_at ON access_log(at DESC);
COMMENT ON TABLE access_log IS 'Who looked at, exported or erased whose data by the CLI: written before anything is shown.';
COMMENT ON COLUMN access_log.id IS 'Order of access.';
COMMENT ON COLUMN access_log.at IS 'When.';
COMMENT ON COLUMN access_log.actor IS 'The operator''s account and machine.';
COMMENT ON COLUMN access_log.action IS 'subject_shown, subject_exported or subject_erased.';
COMMENT ON COLUMN access_log.subjects IS 'Whose, by random id.';
COMMENT ON COLUMN access_log.leads IS 'How many leads it concerned.';
COMMENT ON COLUMN access_log.reason IS 'Why, in the operator''s words; no names here.';
COMMENT ON COLUMN webhook_events.result IS 'sent, sent_without, no_match, dry_run, recorded, unchanged, superseded, ignored or erased; null until its end.';
