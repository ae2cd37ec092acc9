"""Alerts: read, judge, store what opened and resolved, tell.

* `readings` asks Postgres and Redis for a handful of numbers; what cannot be asked is not judged.
* `rules` decides, purely, what is wrong. A rule's *fingerprint* names the trouble and its subject.
* `store` opens an alert once and resolves it once, whoever checks and however many do; what is to be told is
  an outbox written in the same transaction.
* `channels` tells it (Slack, e-mail, PagerDuty). A fault there delays the telling and nothing else.
* `watch` does all of it for the active projector, as a task of its own with connections of its own: the
  projections themselves can neither be held up by it nor reach the outside (import-linter).

No text of an alert holds personal data: it says numbers, codes and names of APIs.
"""
