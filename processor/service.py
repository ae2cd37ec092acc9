"""The processor's composition root: settings in, engines running, everything closed at the end."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack

import asyncpg
import structlog

from ops.append import Appender
from ops.durable import durability_of
from ops.fingerprint import Fingerprints
from ops.metrics import new_registry, served
from ops.postgres import create_pool
from ops.recover import Recovery
from ops.redis import Client, blocking_client, command_client
from ops.seal import codec_of
from ops.settings import Settings
from processor.budget import Budgets
from processor.cache import CachedLeads, CachedPeople, CachedProfiles, LookUps
from processor.elsewhere import Elsewhere, OnePlace
from processor.engine import Engine, Lost
from processor.exchange import Exchange
from processor.executor import Executor
from processor.gate import Gate
from processor.history import History
from processor.meters import Meters
from processor.notify import Notifier, no_notice
from processor.outside import Clients, open_clients
from processor.pipeline import Pipeline
from processor.policy import BackoffPolicy
from processor.reconcile.service import on_schedule
from processor.regroup import Regroup
from processor.rhythm import Rhythm
from processor.send import Sender
from processor.store import LeadStore
from schema.codec import PayloadCodec
from schema.keys import Keys

log = structlog.get_logger()

_SETTLE_FACTOR = 1.5


def build_executor(
    store: LeadStore,
    clients: Clients,
    pool: asyncpg.Pool,
    settings: Settings,
    codec: PayloadCodec,
    *,
    commands: Client,
    exchange: Exchange,
    gate: Gate,
    meters: Meters | None = None,
) -> Executor:
    """The executor of one partition over real clients."""
    sender = Sender(
        clients.c2s,
        store,
        policy=settings.send_policy,
        settle_s=settings.http_timeout_secs * _SETTLE_FACTOR,
        reserve=gate.reserve,
    )
    fingerprints = Fingerprints.of_settings(settings)
    look_ups = LookUps(exchange, gate, codec, fingerprints, settings)
    appender = Appender(
        commands,
        partitions=settings.stream_partitions,
        other=settings.stream_partitions_other,
        dedup_ttl_s=settings.dedup_ttl_secs,
        instance=settings.instance,
    )
    notify_url = settings.notify_url.get_secret_value()
    pipeline = Pipeline(
        leads=CachedLeads(clients.c2s, look_ups),
        diretrix=CachedPeople(clients.diretrix, look_ups),
        work_api=CachedProfiles(clients.work, look_ups),
        sender=sender,
        store=store,
        record=History(pool),
        codec=codec,
        settings=settings,
        fingerprints=fingerprints,
        append=appender.append,
        notify=Notifier(notify_url) if notify_url else no_notice,
    )
    policy = BackoffPolicy(settings.backoff_base_secs, settings.backoff_max_secs, settings.max_attempts)
    partitions = settings.partitions
    places = Elsewhere(store, commands, partitions) if partitions.other else OnePlace()
    return Executor(pipeline, store, codec, policy, random.Random(), meters or Meters(), places)


def restore_lost(recovery: Recovery, partition: int) -> Lost:
    """What happens to pending entries that vanished from the stream: back to work, from the archive."""

    async def restore(entry_ids: Sequence[str]) -> None:
        restored = await recovery.restore_entries(partition, entry_ids)
        log.error("stream.pending_lost", entry_ids=list(entry_ids), restored=restored)

    return restore


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run one engine per partition until ``stop``."""
    async with AsyncExitStack() as stack:
        url = settings.redis_url.get_secret_value()
        commands = command_client(url)
        stack.push_async_callback(commands.aclose)
        pool = await create_pool(
            settings, min_size=0, max_size=4, application_name=f"c2s-processor-{settings.instance}"
        )
        stack.push_async_callback(pool.close)
        registry = new_registry()
        meters = Meters(registry)
        stack.enter_context(served(registry, settings.metrics_port))
        rhythm = Rhythm()
        exchange = Exchange(commands, rhythm.gather_s)
        stack.push_async_callback(exchange.aclose)
        gate = Gate(Budgets(exchange, settings, meters=meters))
        clients = await stack.enter_async_context(
            open_clients(settings, gate.before, meters.called, gate.after)
        )
        codec = codec_of(settings)
        recovery = Recovery(commands, pool, settings)
        durability = await durability_of(settings, commands)
        engines = []
        for partition in range(settings.partitions.served):
            reader = blocking_client(url, block_s=settings.block_secs)
            stack.push_async_callback(reader.aclose)
            store = LeadStore(
                Keys(partition), commands, reader, settings, rhythm=rhythm, durability=durability
            )
            executor = build_executor(
                store,
                clients,
                pool,
                settings,
                codec,
                commands=commands,
                exchange=exchange,
                gate=gate,
                meters=meters,
            )
            lost, regroup = restore_lost(recovery, partition), Regroup(store, recovery, partition)
            engines.append(
                Engine(store, executor, commands, settings, on_lost=lost, regroup=regroup, meters=meters)
            )
        meters.in_flight(lambda: sum(engine.in_flight for engine in engines))
        await stack.enter_async_context(on_schedule(settings, meters.called))
        log.info("processor.started", partitions=len(engines), concurrency=settings.processor_concurrency)
        await asyncio.gather(*(engine.run(stop) for engine in engines))
