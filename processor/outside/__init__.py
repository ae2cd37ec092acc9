"""The world outside: clients of C2S, Diretrix and the Work API, opened together over one session."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import aiohttp

from ops.settings import Settings
from processor.outside.c2s import C2SClient
from processor.outside.diretrix import DiretrixClient
from processor.outside.http import AfterCall, BeforeCall, Settle, Transport, no_budget, no_record, no_settling
from processor.outside.work import WorkClient

__all__ = [
    "C2SClient",
    "Clients",
    "DiretrixClient",
    "Transport",
    "WorkClient",
    "clients_over",
    "open_clients",
]


@dataclass(frozen=True, slots=True)
class Clients:
    """The three clients of one process."""

    c2s: C2SClient
    diretrix: DiretrixClient
    work: WorkClient


@asynccontextmanager
async def open_clients(
    settings: Settings,
    before_call: BeforeCall = no_budget,
    after_call: AfterCall = no_record,
    settle: Settle = no_settling,
) -> AsyncIterator[Clients]:
    """The clients over one session, which is closed at the end.

    Args:
        settings: base URLs, credentials and limits.
        before_call: awaited with (api, call) before each request: the shared rate budget.
        after_call: told (api, call, outcome code, seconds) after each: metrics.
        settle: awaited with (api, error or None) after each; gives the error to raise.

    Raises:
        SettingsError: a base URL is not one.
    """
    agent = {"User-Agent": f"c2s-leadstream/{version('c2s-leadstream')}"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=agent) as session:
        transport = Transport(
            session=session,
            max_bytes=settings.http_max_bytes,
            before_call=before_call,
            after_call=after_call,
            settle=settle,
        )
        yield clients_over(transport, settings)


def clients_over(transport: Transport, settings: Settings) -> Clients:
    """The clients over one transport.

    Raises:
        SettingsError: a base URL is not one.
    """
    return Clients(
        C2SClient(
            transport,
            base_url=settings.c2s_base_url,
            token=settings.c2s_token.get_secret_value(),
            timeout_s=settings.http_timeout_secs,
            message_path=settings.c2s_message_path,
        ),
        DiretrixClient(
            transport,
            base_url=settings.diretrix_base_url,
            user=settings.diretrix_user,
            password=settings.diretrix_pass.get_secret_value(),
            timeout_s=settings.http_timeout_secs,
        ),
        WorkClient(
            transport,
            base_url=settings.work_api_base_url,
            token=settings.work_api_key.get_secret_value(),
            timeout_s=settings.work_api_timeout_secs,
        ),
    )
