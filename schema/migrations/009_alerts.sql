-- Alerts: each opens once and resolves once; what has to be told to whom is an outbox beside it.

CREATE TABLE alerts (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('warning', 'critical')),
    summary TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    threshold DOUBLE PRECISION NOT NULL,
    opened_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    seen_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    resolved_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX idx_alerts_open ON alerts(fingerprint) WHERE resolved_at IS NULL;
CREATE INDEX idx_alerts_opened_at ON alerts(opened_at DESC);
COMMENT ON TABLE alerts IS 'What was wrong, from when to when; no personal data. docs/alerts.md says what each means.';
COMMENT ON COLUMN alerts.id IS 'Surrogate key.';
COMMENT ON COLUMN alerts.fingerprint IS 'What makes two findings the same alert: rule and subject. At most one is open.';
COMMENT ON COLUMN alerts.rule IS 'The rule that found it.';
COMMENT ON COLUMN alerts.severity IS 'warning or critical.';
COMMENT ON COLUMN alerts.summary IS 'What is wrong, in a sentence, as last seen.';
COMMENT ON COLUMN alerts.value IS 'What was measured, as last seen; the rule names its unit.';
COMMENT ON COLUMN alerts.threshold IS 'What it must not exceed.';
COMMENT ON COLUMN alerts.opened_at IS 'When it was found first.';
COMMENT ON COLUMN alerts.seen_at IS 'When it was found last.';
COMMENT ON COLUMN alerts.resolved_at IS 'When it was first not found any more; null while it is open.';

CREATE TABLE alert_deliveries (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id BIGINT NOT NULL REFERENCES alerts(id) ON DELETE CASCADE,
    transition TEXT NOT NULL CHECK (transition IN ('opened', 'resolved')),
    channel TEXT NOT NULL,
    tries INT NOT NULL DEFAULT 0,
    next_try_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    delivered_at TIMESTAMPTZ,
    last_error TEXT,
    UNIQUE (alert_id, transition, channel)
);
CREATE INDEX idx_alert_deliveries_due ON alert_deliveries(id) WHERE delivered_at IS NULL;
COMMENT ON TABLE alert_deliveries IS 'What is to be told about an alert, per channel: retried until it is delivered, opened before resolved.';
COMMENT ON COLUMN alert_deliveries.id IS 'Order of telling.';
COMMENT ON COLUMN alert_deliveries.alert_id IS 'The alert.';
COMMENT ON COLUMN alert_deliveries.transition IS 'opened or resolved.';
COMMENT ON COLUMN alert_deliveries.channel IS 'slack, email or pagerduty.';
COMMENT ON COLUMN alert_deliveries.tries IS 'Tries so far; given up after twelve.';
COMMENT ON COLUMN alert_deliveries.next_try_at IS 'Not before.';
COMMENT ON COLUMN alert_deliveries.delivered_at IS 'When the other side took it; null until then.';
COMMENT ON COLUMN alert_deliveries.last_error IS 'Kind of the last fault; no addresses, no secrets.';

CREATE TABLE alert_checks (
    name TEXT PRIMARY KEY,
    checked_at TIMESTAMPTZ NOT NULL,
    faults TEXT[] NOT NULL
);
COMMENT ON TABLE alert_checks IS 'The last check: a watch that stopped shows here, and as heartbeats that stay away.';
COMMENT ON COLUMN alert_checks.name IS 'Who checked: projector or cli.';
COMMENT ON COLUMN alert_checks.checked_at IS 'When.';
COMMENT ON COLUMN alert_checks.faults IS 'Why the synthetic check failed; empty where it passed.';
