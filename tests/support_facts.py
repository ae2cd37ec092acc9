"""Random facts, but possible ones: what the scripts append for a few leads."""

import random
from datetime import UTC, datetime, timedelta

import orjson

from schema.events import (
    AttemptFailed,
    Event,
    EventIgnored,
    EventReplayed,
    LeadDeadLettered,
    LeadProcessed,
    ProcessingStarted,
    WebhookAccepted,
    WebhookDuplicated,
)
from schema.identity import event_id_of
from schema.keys import Keys

KEYS = Keys(0)
T0 = datetime(2026, 1, 21, 12, tzinfo=UTC)
T0_MS = int(T0.timestamp() * 1000)
CPFS = ("52998224725", "11144477735")
Stamped = tuple[str, str, Event]  # stream, entry id, event


class World:
    """Random, but possible: what the scripts append for a few leads, in the order they would."""

    def __init__(self, seed: int, prefix: str = "L", start_ms: int = 0) -> None:
        self.rng = random.Random(seed)
        self.tick = start_ms
        self.entries: list[Stamped] = []
        for number in range(3):
            lead = f"{prefix}{number}"
            for action in self.rng.sample(["on_create_lead", "on_update_lead", "on_close_lead"], 2):
                self._life(lead, action)

    def _put(self, event: Event) -> None:
        stream = KEYS.webhooks if isinstance(event, WebhookAccepted) else KEYS.outcomes
        self.entries.append((stream, f"{T0_MS + self.tick}-0", event))

    def _head(self, lead: str, action: str, *, fence: int = 0, attempt: int = 0) -> dict:
        self.tick += 1
        at = T0 + timedelta(milliseconds=self.tick)
        common = {"event_id": event_id_of(f"{lead}:{action}"), "lead_id": lead, "action": action}
        return common | {
            "received_at": at,
            "at": at,
            "fence": self.tick if fence < 0 else fence,
            "attempt": attempt,
            "instance": self.rng.choice(["p1", "p2"]),
        }

    def _accept(self, lead: str, action: str, source: str) -> None:
        head = self._head(lead, action)
        keys = ("event_id", "lead_id", "action", "received_at")
        payload = f'{{"n":{self.tick}}}'
        about = {k: head[k] for k in keys}
        self._put(WebhookAccepted(**about, version=f"v{self.tick}", source=source, payload=payload))

    def _life(self, lead: str, action: str) -> None:
        if self.rng.random() < 0.15:
            reason = {"reason": "unknown_action", "source": "webhook", "payload": "{}"}
            self._put(EventIgnored(**self._head(lead, action), **reason))
            return
        self._accept(lead, action, "webhook")
        for _ in range(self.rng.randint(0, 3)):
            self._series(lead, action)
            what = self.rng.random()
            if what < 0.5:
                self._accept(lead, action, "replay")
                self._put(EventReplayed(**self._head(lead, action, fence=-1), reason="mended"))
            elif what < 0.8:  # its dedup key had expired: taken again, worked on again or found final
                self._accept(lead, action, "webhook")
                if self.rng.random() < 0.5:
                    self._put(EventIgnored(**self._head(lead, action, fence=-1), reason="already_final"))
                    return
            else:
                return

    def _series(self, lead: str, action: str) -> None:
        rng = self.rng
        for attempt in range(1, rng.randint(1, 4) + 1):
            if rng.random() < 0.3:
                self._put(
                    WebhookDuplicated(**self._head(lead, action), source="webhook", payload='{"again":1}')
                )
            head = self._head(lead, action, fence=-1, attempt=attempt)
            self._put(ProcessingStarted(**head))
            fence, what = head["fence"], rng.random()
            head = self._head(lead, action, fence=fence, attempt=attempt)
            error = {
                "step": rng.choice(["people", "send"]),
                "code": f"e{self.tick}",
                "error": f"error {self.tick}",
                "calls": rng.choice(["", '{"c2s":2}']),
            }
            if what < 0.15:
                continue  # crashed unseen
            if what < 0.6:
                due = T0 + timedelta(seconds=self.tick)
                self._put(AttemptFailed(**head, **error, api="c2s", retry_at=due, counted=rng.randint(0, 1)))
            elif what < 0.85:
                self._put(LeadProcessed(**head, **self._good_end()))
                return
            else:
                self._put(LeadDeadLettered(**head, **error))
                return

    def _good_end(self) -> dict:
        result = self.rng.choice(["sent", "no_match", "recorded"])
        if result != "sent":
            return {"result": result}
        people = [
            {
                "cpf": cpf,
                "name": self.rng.choice([f"Ana {self.tick}", ""]),
                "contact_kind": self.rng.choice(["phone", "email"]),
                "profile": self.rng.choice([None, {"n": self.tick}]),
            }
            for cpf in self.rng.sample(CPFS, self.rng.randint(1, 2))
        ]
        found = orjson.dumps({"kind": "same", "people": people}).decode()
        detail = {
            "message_ref": f"ref: {self.tick}",
            "timings": f'{{"send":{self.tick}}}',
            "calls": '{"c2s":1}',
        }
        return {"result": result, "message": f"text {self.tick}", "enrichment": found} | detail
