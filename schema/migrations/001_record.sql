-- The record: what happened to every webhook, for audit and metrics.
-- `webhook_events` starts with exactly the seed's columns, so the seed's queries run verbatim.

CREATE TABLE webhook_events (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    lead_id TEXT NOT NULL,
    hook_action TEXT NOT NULL,
    received_at TIMESTAMPTZ DEFAULT NOW(),
    processed_at TIMESTAMPTZ,
    status TEXT NOT NULL,
    error_message TEXT,
    retry_count INT DEFAULT 0,
    raw_payload JSONB,
    result TEXT,
    attempt INT NOT NULL DEFAULT 0,
    source TEXT,
    version TEXT,
    fence BIGINT NOT NULL DEFAULT 0,
    rank SMALLINT NOT NULL DEFAULT 0,
    duplicate_count INT NOT NULL DEFAULT 0,
    message_ref TEXT,
    step TEXT,
    error_code TEXT,
    error_api TEXT,
    retry_at TIMESTAMPTZ,
    timings JSONB,
    calls JSONB,
    message TEXT,
    instance TEXT,
    partition SMALLINT,
    entry_id TEXT
);
CREATE INDEX idx_webhook_events_lead_id ON webhook_events(lead_id);
CREATE INDEX idx_webhook_events_status ON webhook_events(status);
CREATE INDEX idx_webhook_events_received_at ON webhook_events(received_at DESC);

COMMENT ON TABLE webhook_events IS 'One row per event (webhook that is not a repeat), materialised from the streams.';
COMMENT ON COLUMN webhook_events.id IS 'Event id: UUIDv5 of the dedup key; the same through retry, replay and rebuild.';
COMMENT ON COLUMN webhook_events.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN webhook_events.hook_action IS 'on_create_lead, on_update_lead, on_close_lead, or what C2S sent.';
COMMENT ON COLUMN webhook_events.received_at IS 'When the door first took it.';
COMMENT ON COLUMN webhook_events.processed_at IS 'When it reached its end; null until then.';
COMMENT ON COLUMN webhook_events.status IS 'received, processing (also while waiting for a retry), success, failed (gave up).';
COMMENT ON COLUMN webhook_events.error_message IS 'The last error, without personal data; null after success.';
COMMENT ON COLUMN webhook_events.retry_count IS 'Attempts of the present series that failed so far.';
COMMENT ON COLUMN webhook_events.raw_payload IS 'The webhook''s body (NUL characters replaced; the archive keeps the bytes).';
COMMENT ON COLUMN webhook_events.result IS 'sent, no_match, dry_run, recorded or ignored.';
COMMENT ON COLUMN webhook_events.attempt IS 'The last attempt''s number.';
COMMENT ON COLUMN webhook_events.source IS 'webhook, trigger or reconcile.';
COMMENT ON COLUMN webhook_events.version IS 'What tells two updates of a lead apart.';
COMMENT ON COLUMN webhook_events.fence IS 'Fence of the newest fact in this row; an older one changes nothing.';
COMMENT ON COLUMN webhook_events.rank IS 'Rank of that fact within its fence.';
COMMENT ON COLUMN webhook_events.duplicate_count IS 'How often the same webhook came again.';
COMMENT ON COLUMN webhook_events.message_ref IS 'The marker in the message on the lead.';
COMMENT ON COLUMN webhook_events.step IS 'The step that failed last.';
COMMENT ON COLUMN webhook_events.error_code IS 'Stable short code of the last error.';
COMMENT ON COLUMN webhook_events.error_api IS 'The outside API concerned: c2s, diretrix or work.';
COMMENT ON COLUMN webhook_events.retry_at IS 'When the next attempt is due.';
COMMENT ON COLUMN webhook_events.timings IS 'Milliseconds per step.';
COMMENT ON COLUMN webhook_events.calls IS 'Outside calls per API.';
COMMENT ON COLUMN webhook_events.message IS 'The message sent or prepared, as the codec stores it.';
COMMENT ON COLUMN webhook_events.instance IS 'The processor that worked on it last.';
COMMENT ON COLUMN webhook_events.partition IS 'Partition of its stream.';
COMMENT ON COLUMN webhook_events.entry_id IS 'Its first entry in the webhooks stream.';

CREATE TABLE webhook_duplicates (
    partition SMALLINT NOT NULL,
    entry_id TEXT NOT NULL,
    event_id UUID NOT NULL,
    lead_id TEXT NOT NULL,
    hook_action TEXT NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    source TEXT,
    payload TEXT,
    PRIMARY KEY (partition, entry_id)
);
CREATE INDEX idx_webhook_duplicates_event_id ON webhook_duplicates(event_id);
COMMENT ON TABLE webhook_duplicates IS 'Every repeat of a webhook, with its body.';
COMMENT ON COLUMN webhook_duplicates.partition IS 'Partition of the outcomes stream.';
COMMENT ON COLUMN webhook_duplicates.entry_id IS 'The outcome''s stream id.';
COMMENT ON COLUMN webhook_duplicates.event_id IS 'The event first accepted.';
COMMENT ON COLUMN webhook_duplicates.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN webhook_duplicates.hook_action IS 'The action.';
COMMENT ON COLUMN webhook_duplicates.received_at IS 'When the repeat came.';
COMMENT ON COLUMN webhook_duplicates.source IS 'Where the repeat came from.';
COMMENT ON COLUMN webhook_duplicates.payload IS 'The repeat''s body, as the codec stores it.';

CREATE TABLE people (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cpf TEXT NOT NULL UNIQUE,
    name TEXT,
    profile TEXT,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE people IS 'Persons that enrichment found, reduced to the allow-list.';
COMMENT ON COLUMN people.id IS 'Surrogate key.';
COMMENT ON COLUMN people.cpf IS 'Eleven digits.';
COMMENT ON COLUMN people.name IS 'Name as found.';
COMMENT ON COLUMN people.profile IS 'Allow-listed profile as JSON text.';
COMMENT ON COLUMN people.updated_at IS 'When it was last found.';

CREATE TABLE lead_people (
    lead_id TEXT NOT NULL,
    person_id BIGINT NOT NULL REFERENCES people(id) ON DELETE CASCADE,
    contact_kind TEXT NOT NULL,
    event_id UUID NOT NULL,
    PRIMARY KEY (lead_id, person_id)
);
CREATE INDEX idx_lead_people_person_id ON lead_people(person_id);
COMMENT ON TABLE lead_people IS 'Which persons a lead''s contacts led to.';
COMMENT ON COLUMN lead_people.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN lead_people.person_id IS 'The person.';
COMMENT ON COLUMN lead_people.contact_kind IS 'phone or email: the contact that led there.';
COMMENT ON COLUMN lead_people.event_id IS 'The event that found it last.';

CREATE TABLE lead_state (
    lead_id TEXT PRIMARY KEY,
    event_id UUID NOT NULL,
    hook_action TEXT NOT NULL,
    status TEXT NOT NULL,
    result TEXT,
    message_ref TEXT,
    fence BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE lead_state IS 'One row per lead: the last event that reached its end.';
COMMENT ON COLUMN lead_state.lead_id IS 'The lead at C2S.';
COMMENT ON COLUMN lead_state.event_id IS 'The event.';
COMMENT ON COLUMN lead_state.hook_action IS 'Its action.';
COMMENT ON COLUMN lead_state.status IS 'success or failed.';
COMMENT ON COLUMN lead_state.result IS 'Its result.';
COMMENT ON COLUMN lead_state.message_ref IS 'The marker of its message.';
COMMENT ON COLUMN lead_state.fence IS 'Fence of that end; an older one changes nothing.';
COMMENT ON COLUMN lead_state.updated_at IS 'When it ended.';
