-- Subjects: who a phone, an e-mail or a CPF belongs to and in which leads, and what was erased.

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

-- Who looked at whom by the CLI is noted where the console's actions are.
COMMENT ON TABLE operator_actions IS 'Who did what to what, when and why, by the console, the operator API or `c2s subject`. Append-only.';
COMMENT ON COLUMN operator_actions.actor IS 'Fingerprint of the token, and after a slash the id of the console''s session; never the token. By the CLI: account@machine.';
COMMENT ON COLUMN operator_actions.action IS 'login, logout, payload_revealed, person_searched, dead_replayed, dead_discarded, subject_shown, subject_exported or subject_erased.';
COMMENT ON COLUMN operator_actions.target IS 'The event, the filter of dead letters, or the subjects by their random ids; no personal data.';
COMMENT ON COLUMN webhook_events.result IS 'sent, sent_without, no_match, dry_run, recorded, unchanged, superseded, ignored or erased; null until its end.';
