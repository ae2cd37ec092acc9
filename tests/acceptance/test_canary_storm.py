"""Canaries through a whole running system: marked persons, every fault, then all that is stored or said."""

import asyncio
import base64
import os
import secrets
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from acceptance.canaries import (
    OF_ONE_LEAD,
    Canaries,
    files_of,
    lead_ids,
    marks,
    metrics_of,
    ports_in_a_row,
    shown,
    spellings,
)
from acceptance.canary_hands import Hands
from support_forks import run_c2s
from support_ingress import PREVIOUS
from support_otlp import collector
from support_subjects import postgres_texts, redis_texts
from support_waiting import until, until_so

from chaos import facts
from chaos.system import System, running
from ops.redis import Client, command_client
from ops.sandbox.webhooks import webhook_body

KEY = base64.b64encode(os.urandom(32)).decode()
C2S = Path(sys.executable).with_name("c2s")
FAULTS = (
    *({"target": "work.cpf", "kind": kind} for kind in ("html", "list", "nulls", "strings", "huge", "reset")),
    *({"target": "diretrix.phone", "kind": kind} for kind in ("html", "timeout", "nulls", "list", "reset")),
    *({"target": "diretrix.email", "kind": kind} for kind in ("error", "lost_reply", "strings", "429")),
    *({"target": "c2s.create_message", "kind": kind} for kind in ("error", "timeout", "reset")),
    *({"target": "c2s.create_message", "kind": kind} for kind in ("lost_reply", "429")),
    {"target": "c2s.create_message", "kind": "error", "status": 422},
    {"target": "c2s.get_lead", "kind": "error", "status": 404},
    {"target": "c2s.get_lead", "kind": "reset"},
)  # fmt: skip
# What must have been said, so that the search is one of a run through the faults.
SAID = {
    "webhook.accepted", "webhook.duplicate", "webhook.refused", "webhook.ignored", "webhook.rate_limited",
    "webhook.spooled", "webhook.unavailable", "auth.rejected", "auth.previous_secret", "append.retried",
    "redis.refused", "redis.unavailable", "stream.recreated", "lease.expired", "attempt.failed",
    "api.throttled", "c2s.unauthorized", "lead.gone", "lead.dead_lettered", "enrichment.malformed",
    "projector.stalled", "shutdown.drained", "send.ambiguous", "lease.lost", "stream.pending_lost",
}  # fmt: skip
# Where docs/privacy.md says that personal data stands in clear while there are no PAYLOAD_KEYS.
TABLES = {"event_log", "webhook_events", "webhook_duplicates", "people", "ingress_spool"}
STREAMS = ("c2s:{0}:webhooks", "c2s:{0}:outcomes", "c2s:{0}:dead", "c2s:{0}:steps:", "c2s:{outside}:cache:")


class Storm:
    """A system in which canaries go through every fault."""

    def __init__(self, system: System, client: Client, folder: Path) -> None:
        self.system, self.client, self.folder = system, client, folder
        self.canaries = Canaries(system)
        self.hands = Hands(system, self.canaries, client, folder)
        self.before: dict[str, str] = {}  # all of Redis, as it was before it was wiped

    async def through_all(self) -> None:
        for fault in FAULTS:
            await self.system.fault(times=2, **fault)
        await self.canaries.good()
        await self.canaries.bad()
        hands = self.hands
        await hands.settings_are_wrong()
        await hands.one_sleeps()
        await hands.both_die()
        await hands.entry_is_deleted()
        self.system.hurt("projector", signal.SIGKILL)
        await hands.clock_is_wrong()
        await hands.disks_are_full()
        await hands.stores_go()
        await hands.stream_goes()
        await self.rest()
        self.before = await redis_texts(self.client)
        await self.client.flushall()
        await self.c2s("recover")
        # A token that is refused, last: the work waits for the operator. The lead is fetched at C2S first.
        await self.system.fault(target="c2s", kind="unauthorized", times=2)
        await self.canaries.ask(
            webhook_body("canary-waits", "on_create_lead", "seed", datetime.now(UTC)), 200
        )
        await until_so(lambda: "c2s.unauthorized" in hands.logs(), 60)

    async def rest(self) -> None:
        """Until all that was accepted is final and recorded."""
        ready = self.system.ready
        await until(
            lambda: facts.unsettled(ready["database_url"], ready["redis_url"], set()),
            lambda waits: waits == "",
            120,
        )

    async def c2s(self, *words: str) -> str:
        """A command of the operator; what it said."""
        data_dir = ("--data-dir", str(self.folder / "data"))
        ran = await asyncio.to_thread(run_c2s, *words, *data_dir, cwd=self.folder)
        assert ran.returncode == 0, ran
        return ran.stdout + ran.stderr


@pytest.mark.timeout(600)  # two systems start; the rest waits for what happens
@pytest.mark.parametrize("keys", ["", KEY], ids=["clear", "sealed"])
async def test_nobody_is_found_outside_the_sealed_places(tmp_path: Path, keys: str) -> None:
    """Logs, metrics, spans, answers name nobody; Redis and Postgres only where the page on privacy says."""
    port = ports_in_a_row(3)
    env = {
        "PAYLOAD_KEYS": keys,
        "HASH_KEY": secrets.token_hex(16),
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "METRICS_PORT": str(port),
        "C2S_WEBHOOK_SECRET_PREVIOUS": PREVIOUS,
        "READ_TIMEOUT_SECS": "1.5",
        "LEAD_RATE_LIMIT": f"{OF_ONE_LEAD}/hour",
        "LOG_LEVEL": "debug",
        "ALERT_EVERY": "1",
    }
    marked = spellings(marks([*lead_ids(), "canary-waits"]))
    with collector() as received:
        async with running(tmp_path, processors=2, OTEL_EXPORTER_OTLP_ENDPOINT=received.url, **env) as system:
            client = command_client(system.servers["redis"].embedded.url)  # past the proxy
            storm = Storm(system, client, tmp_path)
            await storm.through_all()
            db = await asyncpg.connect(system.ready["database_url"])
            said = {"answers": "\n".join(storm.canaries.said), "starts": "\n".join(storm.hands.said)}
            said["commands"] = "\n".join(
                [await storm.c2s("events", "show", "canary-marked"), await storm.c2s("events", "list")]
            )
            urls = [system.ready["ingress_url"], *(f"http://127.0.0.1:{port + n}" for n in range(3))]
            said |= await metrics_of(system.http, urls)
            after = {f"{key} after": text for key, text in (await redis_texts(client)).items()}
            held = storm.before | after | await postgres_texts(db)
            await client.aclose()
            await db.close()
        said["printed"] = b"".join(system.printed).decode()
        said["spans"] = b"".join(received.raw).decode("utf-8", errors="replace")
    said |= dict(files_of(tmp_path))
    assert shown(said, marked) == {}
    logged = storm.hands.logs()
    assert {name for name in SAID if name not in logged} == set()
    found = set(shown({place: place + text for place, text in held.items()}, marked))
    if keys:
        assert found == set()
    else:
        assert {"event_log", "webhook_events", "webhook_duplicates", "people", "c2s:{0}:webhooks"} <= found
        assert {p for p in found - TABLES if not p.startswith(("event_log_", *STREAMS))} == set()
