"""The hands that hurt a system while canaries go through it: one method per row of the table of faults."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from acceptance.canaries import CPF, EMAIL, NAME, PHONE, Canaries, body, files_of
from support_waiting import until, until_so

from chaos.system import FAST, System
from ops.redis import Client
from schema.keys import GROUP, Keys

KEYS = Keys(0)
PROCESSORS = ("processor-1", "processor-2")
WRONG_CLOCK = "import time\nhere = time.time\ntime.time = lambda: here() + 600\n"
# What is no value of the setting, or contradicts another; a secret in the wrong place among them.
WRONG = (
    {"PORT": EMAIL, "C2S_RATE_LIMIT": NAME, "MAX_ATTEMPTS": CPF},
    {"REDIS_URL": f"redis://{NAME}:{PHONE}@{EMAIL}:{CPF}/0"},
    {"DATABASE_URL": f"{EMAIL}://{NAME}:{PHONE}@nowhere/{CPF}"},
    {"PAYLOAD_KEYS": f"{NAME},{EMAIL}"},
    {"HEARTBEAT_SECS": PHONE},
    {"C2S_TOKEN_FILE": f"/{NAME}/{EMAIL}"},
)
# A transaction each, and no trigger is dropped: who locks one table after another may meet the projector.
FULL = (
    """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$""",
    "CREATE TRIGGER full_disk BEFORE INSERT ON ingress_spool EXECUTE FUNCTION full_disk()",
    "CREATE TRIGGER full_disk BEFORE INSERT ON event_log FOR EACH ROW EXECUTE FUNCTION full_disk()",
)
ROOM = """CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RETURN NEW; END $$"""


@dataclass
class Hands:
    """Hurts it. ``said`` is what failed starts printed."""

    system: System
    canaries: Canaries
    client: Client
    folder: Path
    said: list[str] = field(default_factory=list)

    def logs(self) -> str:
        return "\n".join(text for _, text in files_of(self.folder))

    async def stopped_at(self, lead_id: str) -> str:
        """Send a lead; stop both processors while one of them holds its lease; that one's name."""
        await self.system.fault(target="diretrix", kind="timeout", times=4)
        await self.canaries.ask(body(lead_id), 200)

        async def caught() -> str:
            self.hurt(signal.SIGSTOP)
            if lease := await self.client.get(KEYS.lease(lead_id)):
                return next(name for name in PROCESSORS if name in lease.decode())
            self.hurt(signal.SIGCONT)
            return ""

        return await until(caught, seconds=60)

    def hurt(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to processors: both unless some are named."""
        for name in names or PROCESSORS:
            self.system.hurt(name, number)

    async def one_sleeps(self) -> None:
        """Row 27: stopped past its lease, taken over by the other, then awake again."""
        owner = await self.stopped_at("canary-slept")
        before = self.logs().count("lease.expired")
        self.hurt(signal.SIGCONT, *(name for name in PROCESSORS if name != owner))
        await until_so(lambda: self.logs().count("lease.expired") > before, 60)
        self.hurt(signal.SIGCONT, owner)
        await until_so(lambda: "lease.lost" in self.logs(), 60)

    async def both_die(self) -> None:
        """Row 26: killed while one holds a lease; stopped before, so that it cannot end in between."""
        await self.stopped_at("canary-killed")
        before = self.logs().count("lease.expired")
        self.hurt(signal.SIGKILL)
        await until_so(lambda: self.logs().count("lease.expired") > before, 60)

    async def entry_is_deleted(self) -> None:
        """Row 37: by hand, while it is pending with one that dies; put back from the archive."""
        await self.stopped_at("canary-deleted")
        async with self.record() as db:
            row = "SELECT count(*) FROM webhook_events WHERE lead_id = 'canary-deleted'"
            await until(lambda: db.fetchval(row), seconds=60)
        entries = await self.client.xrange(KEYS.webhooks)
        await self.client.xdel(KEYS.webhooks, *(i for i, f in entries if f[b"lead_id"] == b"canary-deleted"))
        self.hurt(signal.SIGKILL)
        await until_so(lambda: "stream.pending_lost" in self.logs(), 60)

    async def clock_is_wrong(self) -> None:
        """Row 39: a third processor, ten minutes ahead, does the work while the two others are stopped."""
        (self.folder / "clock").mkdir()
        (self.folder / "clock" / "sitecustomize.py").write_text(WRONG_CLOCK)
        env = {"INSTANCE": "wrong-clock", "METRICS_PORT": "0", "PYTHONPATH": str(self.folder / "clock")}
        self.hurt(signal.SIGSTOP)
        with (self.folder / "clock.log").open("wb") as log:
            third = await self.start("processor", env, log.fileno())
        await self.canaries.ask(body("canary-clock"), 200)

        async def worked() -> bool:
            last = await self.client.xrevrange(KEYS.outcomes, count=200)
            return any(f[b"instance"] == b"wrong-clock" and f[b"type"] == b"lead_processed" for _, f in last)

        await until(worked, seconds=60)
        third.send_signal(signal.SIGTERM)
        await third.wait()
        self.hurt(signal.SIGCONT)

    async def disks_are_full(self) -> None:
        """Row 40: Redis cannot write its snapshot, Postgres has no room; then Redis is back first."""
        (self.system.servers["redis"].embedded.data_dir / "taken").mkdir()
        before = {name: (await self.client.config_get(name))[name] for name in ("dbfilename", "save")}
        await self.client.config_set("dbfilename", "taken")
        await self.client.config_set("save", "3600 1")
        await self.client.bgsave()
        await until(lambda: self.client.info("persistence"), lambda i: i["rdb_last_bgsave_status"] != "ok")
        await self.canaries.ask(body("canary-disk"), 200)
        async with self.record() as db:
            for statement in FULL:
                await db.execute(statement)
            await self.canaries.ask(body("canary-disks"), 503)
            for name, value in before.items():
                await self.client.config_set(name, value)
            await until_so(lambda: "DiskFullError" in self.logs(), 60)
            await db.execute(ROOM)

    async def stores_go(self) -> None:
        """Rows 21 to 24, 35: a Redis without memory, none, neither store; then all is back and drained."""
        redis, postgres = (self.system.servers[name].proxy for name in ("redis", "postgres"))
        await self.client.config_set("maxmemory", "1")
        await self.canaries.ask(body("canary-full"), 200)
        await self.client.config_set("maxmemory", "0")
        redis.refuse()
        await self.canaries.ask(body("canary-spooled"), 200)
        postgres.refuse()
        await self.canaries.ask(body("canary-unavailable"), 503)
        redis.flow()
        await until_so(lambda: "projector.stalled" in self.logs(), 60)
        postgres.flow()

    async def stream_goes(self) -> None:
        """Row 25: the group is gone under blocked readers."""
        await self.client.xgroup_destroy(KEYS.webhooks, GROUP)

    async def settings_are_wrong(self) -> None:
        """Row 42: each start ends with code 2 before any port opens."""
        for env in WRONG:
            for service in ("ingress", "processor"):
                started = await self.start(service, env, asyncio.subprocess.PIPE)
                out, _ = await started.communicate()
                assert started.returncode == 2, out
                assert next(iter(env)).removesuffix("_FILE").encode() in out
                self.said.append(out.decode())

    async def start(self, service: str, env: dict[str, str], out: int) -> asyncio.subprocess.Process:
        """One more process of the system, with other settings."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", service, env=kept | FAST | self.system.ready["environment"] | env,
            cwd=self.folder, stdout=out, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip

    @asynccontextmanager
    async def record(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.system.ready["database_url"])
        yield connection
        await connection.close()
