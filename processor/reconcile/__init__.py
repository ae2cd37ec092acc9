"""Reconcile: what C2S's list of leads has and our record has not is appended, as its webhook would have been.

C2S's list is authoritative on which leads changed, Postgres and Redis together on which webhooks came. A
missing event gets the event id of its webhook (same body shape, same dedup key), so a webhook that comes late
is a duplicate, and running twice appends nothing twice: the append script decides.

* One run at a time: a session advisory lock in Postgres.
* Progress is a row in Postgres, written after a page's events were appended. Killed in between, the page is
  looked at again, and finds what was appended.
* Calls keep their distance (`RECONCILE_SHARE` of the budget), by Postgres's clock across runs and restarts,
  and each also takes its turn in the fleet's budget.

Limits: C2S's list shows a lead's last update only, so of several missed updates one is found; it holds the
state of the lead, which is what processing needs. The list is read newest first by page number: leads that
are updated meanwhile push others to later pages, where they are seen twice (harmless), and their own webhook
or the next run finds them.
"""
