"""The record: the streams' facts, materialised in Postgres. No outside call is made here."""
