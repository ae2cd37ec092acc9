-- Reconcile: one row per run, so that a run that was killed between two pages goes on where it was.

CREATE TABLE reconcile_runs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state TEXT NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'superseded')),
    appends BOOLEAN NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    ended_at TIMESTAMPTZ,
    next_page INT NOT NULL DEFAULT 1,
    page_size INT NOT NULL DEFAULT 0,
    leads INT NOT NULL DEFAULT 0,
    found INT NOT NULL DEFAULT 0,
    missing INT NOT NULL DEFAULT 0,
    appended INT NOT NULL DEFAULT 0,
    last_call_at TIMESTAMPTZ,
    instance TEXT NOT NULL
);
CREATE UNIQUE INDEX idx_reconcile_runs_running ON reconcile_runs(appends) WHERE state = 'running';
CREATE INDEX idx_reconcile_runs_last_call_at ON reconcile_runs(last_call_at DESC);
COMMENT ON TABLE reconcile_runs IS 'Comparisons of C2S''s list of leads with the record: progress and results.';
COMMENT ON COLUMN reconcile_runs.id IS 'Surrogate key.';
COMMENT ON COLUMN reconcile_runs.state IS 'running (or killed: it is resumed), done, or superseded by a run that looks further back.';
COMMENT ON COLUMN reconcile_runs.appends IS 'False where it only looked.';
COMMENT ON COLUMN reconcile_runs.since IS 'Leads updated since then were compared.';
COMMENT ON COLUMN reconcile_runs.started_at IS 'When; the next scheduled run looks back to a little before this.';
COMMENT ON COLUMN reconcile_runs.ended_at IS 'When it ended; null until then.';
COMMENT ON COLUMN reconcile_runs.next_page IS 'The page of C2S''s list that it looks at next.';
COMMENT ON COLUMN reconcile_runs.page_size IS 'The longest page seen: a shorter one is the last.';
COMMENT ON COLUMN reconcile_runs.leads IS 'Leads compared.';
COMMENT ON COLUMN reconcile_runs.found IS 'Leads of which nothing was missing.';
COMMENT ON COLUMN reconcile_runs.missing IS 'Events that were missing.';
COMMENT ON COLUMN reconcile_runs.appended IS 'Events appended; fewer than missing where their webhook came meanwhile.';
COMMENT ON COLUMN reconcile_runs.last_call_at IS 'The moment reserved for its last call: calls keep their distance across runs and restarts.';
COMMENT ON COLUMN reconcile_runs.instance IS 'Who ran it last.';
COMMENT ON COLUMN webhook_events.source IS 'webhook, trigger, reconcile or replay.';
