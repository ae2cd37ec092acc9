-- Forwards: copies of accepted webhooks for FORWARD_URL during a migration, until they are delivered.

CREATE TABLE forwards (
    id UUID PRIMARY KEY,
    lead_id TEXT NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    headers JSONB NOT NULL,
    body TEXT,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts INT NOT NULL DEFAULT 0,
    due_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    last_error TEXT,
    last_at TIMESTAMPTZ,
    CHECK (body IS NOT NULL OR state = 'delivered')
);
CREATE INDEX idx_forwards_due_at ON forwards(due_at) WHERE state <> 'delivered';
CREATE INDEX idx_forwards_received_at ON forwards(received_at);
COMMENT ON TABLE forwards IS 'Webhooks to be passed on to FORWARD_URL, each once; delivered ones are kept for a while, without body, so that a repeat is known.';
COMMENT ON COLUMN forwards.id IS 'The event; of a batch a UUIDv5 of its bytes.';
COMMENT ON COLUMN forwards.lead_id IS 'The lead at C2S; of a batch its first.';
COMMENT ON COLUMN forwards.received_at IS 'When the door took it.';
COMMENT ON COLUMN forwards.headers IS 'The request''s content type and signature headers.';
COMMENT ON COLUMN forwards.body IS 'The request''s body, as the codec stores it; null once delivered.';
COMMENT ON COLUMN forwards.state IS 'waiting (also between attempts), delivered, or failed (given up; `c2s forwards retry` tries again).';
COMMENT ON COLUMN forwards.attempts IS 'Attempts begun.';
COMMENT ON COLUMN forwards.due_at IS 'When the next attempt may begin; during one, when it is taken for lost.';
COMMENT ON COLUMN forwards.last_error IS 'Why the last attempt failed; no words of the receiver.';
COMMENT ON COLUMN forwards.last_at IS 'When the last attempt ended.';
