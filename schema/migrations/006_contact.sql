-- Whose contact a lead had when it was last processed, so that an update of anything else costs no look-up.

ALTER TABLE lead_state ADD COLUMN contact TEXT;
COMMENT ON COLUMN lead_state.contact IS 'Keyed hash of the phone and e-mail that the last processed event had; null where none was.';
COMMENT ON COLUMN webhook_events.result IS 'sent, sent_without, no_match, dry_run, recorded, unchanged, superseded or ignored; null until its end.';
COMMENT ON COLUMN webhook_events.source IS 'webhook, trigger, reconcile, followup or replay.';
