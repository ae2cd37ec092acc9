"""``python -m projections.subjects erase|reapply``: what `c2s subject erase` and `reapply` become."""

import argparse
import asyncio
import logging
import sys
from dataclasses import asdict
from uuid import UUID

import asyncpg
import structlog
from redis.exceptions import RedisError

from ops.cli.output import PROBLEM, WRONG_USE, print_json, say_error
from ops.faults import told
from ops.postgres import CONNECT_TIMEOUT_S, translated
from ops.redis import command_client
from ops.seal import codec_of
from ops.settings import Settings, load_settings
from ops.subjects import Found
from projections.subjects.erase import Eraser
from schema.errors import LeadstreamError, SettingsError


async def carry_out(settings: Settings, words: argparse.Namespace) -> dict[str, object]:
    """Do it; what was done.

    Raises:
        StorageUnavailable: Redis or Postgres is away; `c2s subject reapply` carries it on.
    """
    client = command_client(settings.redis_url.get_secret_value())
    with translated("connecting"):
        conn = await asyncpg.connect(
            settings.database_url.get_secret_value(),
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "c2s-subject", "timezone": "UTC"},
        )
    try:
        eraser = Eraser(conn, client, settings, codec_of(settings))
        with translated("erasing"):
            if words.verb == "reapply":
                return {"events": await eraser.reapply(), "complete": True}
            subjects = tuple(UUID(text) for text in words.subject)
            found = Found(subjects, tuple(words.lead), tuple(words.hash))
            return asdict(await eraser.erase(found, actor=words.actor, reason=words.reason))
    finally:
        await conn.close(timeout=5)
        await client.aclose()


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="c2s subject")
    parser.add_argument("verb", choices=("erase", "reapply"))
    for name in ("--subject", "--lead", "--hash"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--actor", default="")
    parser.add_argument("--reason", default="")
    words = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        done = asyncio.run(carry_out(load_settings("cli"), words))
    except SettingsError as error:
        say_error(str(error))
        return WRONG_USE
    except (LeadstreamError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError) as error:
        say_error(f"{told(error) or error}; then `c2s subject reapply` carries the erasures on")
        return PROBLEM
    print_json({**done, **({"erasure_id": str(done["erasure_id"])} if "erasure_id" in done else {})})
    return 0 if done["complete"] else PROBLEM


if __name__ == "__main__":
    sys.exit(main())
