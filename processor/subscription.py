"""``python -m processor.subscription subscribe|unsubscribe``: who gets the company's webhooks.

C2S keeps one endpoint per token, does not tell which it is, and replaces it without a word. So this says what
will change and asks before it does anything; the token is checked first. Repeating it changes nothing.

Exit code 0: done; 1: C2S refused or cannot be reached, or the answer was no; 2: wrong use.
"""

import argparse
import asyncio
import sys
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from redis.exceptions import RedisError

from ops.faults import told
from ops.lifecycle import EXIT_WRONG_SETTINGS
from ops.log import setup_logs
from ops.redis import command_client
from ops.settings import Settings, load_settings, rate_interval_s
from processor.budget import Budgets
from processor.exchange import Exchange
from processor.outside import C2SClient, open_clients
from processor.outside.http import BeforeCall
from schema.errors import LeadstreamError, Permanent, SettingsError, StorageUnavailable
from schema.identity import CLOSE, CREATE, UPDATE

ACTIONS = (CREATE, UPDATE, CLOSE)
_ME = "/me"  # where the older API has the token check


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks shall go.

    Attributes:
        url: whole, with the secret in it where a token vouches: never shown.
        shown: the same for people.
        secret: that signs the webhooks; empty where the token vouches.
    """

    url: str = field(repr=False)
    shown: str
    secret: str = field(repr=False, default="")


def endpoint_of(settings: Settings, url: str, *, signed: bool) -> Endpoint:
    """The endpoint for a door's address: with the URL token where one is set, unless ``signed``.

    Raises:
        SettingsError: the address is not one, or nothing would vouch for the webhooks.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError("--url (WEBHOOK_URL): must look like https://host/api/v1/webhook/leads")
    token = settings.c2s_webhook_token.get_secret_value()
    secret = settings.c2s_webhook_secret.get_secret_value()
    base = url.rstrip("/")
    if token and not signed:
        base = base.removesuffix("/" + quote(token, safe=""))
        return Endpoint(f"{base}/{quote(token, safe='')}", f"{base}/*** (the token of C2S_WEBHOOK_TOKEN)")
    if not secret and not settings.allow_unsigned:
        raise SettingsError("C2S_WEBHOOK_TOKEN, C2S_WEBHOOK_SECRET: set one, else the door takes nothing")
    return Endpoint(base, base + (" (signed with C2S_WEBHOOK_SECRET)" if secret else " (unsigned)"), secret)


def announcement(settings: Settings, words: argparse.Namespace, endpoint: Endpoint | None) -> str:
    """What will change, for people."""
    at = f"{words.method} {settings.c2s_base_url.rstrip('/')}{words.path}"
    if endpoint is None:
        return (
            f"This ends the webhooks of this company's token at C2S ({at}):\n"
            f"  {', '.join(ACTIONS)}\n"
            "Whatever receives them at present, here or elsewhere, gets none from then on."
        )
    plain = "" if endpoint.url.startswith("https:") else "CAUTION: not https, the webhooks travel in clear.\n"
    return (
        f"C2S will send {', '.join(ACTIONS)} ({at}) to\n"
        f"  {endpoint.shown}\n"
        f"{plain}"
        "C2S keeps ONE endpoint per token and does not tell which it is now: whatever receives this\n"
        "company's webhooks at present (Make.com, say) is replaced and gets none from then on."
    )


async def change(settings: Settings, words: argparse.Namespace, endpoint: Endpoint | None) -> None:
    """Check the token, then subscribe (or, without an endpoint, unsubscribe).

    Raises:
        PipelineError: C2S refused, or cannot be reached.
    """
    client = command_client(settings.redis_url.get_secret_value())
    try:
        async with open_clients(settings, _paced(Budgets(Exchange(client), settings), settings)) as clients:
            await _check_token(clients.c2s)
            print("the token is good")  # noqa: T201 -- a command prints
            if endpoint is None:
                await _unsubscribe(clients.c2s, words)
                return
            for action in ACTIONS:
                await clients.c2s.subscribe(
                    endpoint.url, action, endpoint.secret, path=words.path, method=words.method
                )
                print(f"subscribed: {action}")  # noqa: T201
    finally:
        await client.aclose()


def _paced(budgets: Budgets, settings: Settings) -> BeforeCall:
    """The fleet's budget; where there is no Redis (before the first start, say), our own pace."""
    calls = 0

    async def admit(api: str, _call: str) -> None:
        nonlocal calls
        calls += 1
        try:
            await budgets.acquire(api)
        except StorageUnavailable:
            if calls > 1:
                await asyncio.sleep(rate_interval_s(settings.c2s_rate_limit))

    return admit


async def _check_token(c2s: C2SClient) -> None:
    try:
        await c2s.company()
    except Permanent:
        await c2s.company(_ME)


async def _unsubscribe(c2s: C2SClient, words: argparse.Namespace) -> None:
    for action in ACTIONS if words.method == "POST" else ("",):
        await c2s.unsubscribe(action, path=words.path, method=words.method)
        print(f"unsubscribed: {action or 'all actions'}")  # noqa: T201


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    words = _parser().parse_args(arguments)
    try:
        settings = load_settings("cli")
        if not settings.c2s_token.get_secret_value():
            raise SettingsError("C2S_TOKEN: is required")  # noqa: TRY301 -- one way out
        setup_logs("warning", settings.log_format, service=words.verb, instance=settings.instance)
        subscribes = words.verb == "subscribe"
        words.path = words.path or (
            settings.c2s_subscribe_path if subscribes else settings.c2s_unsubscribe_path
        )
        words.method = words.method or ("POST" if subscribes else settings.c2s_unsubscribe_method)
        endpoint = endpoint_of(settings, words.url, signed=words.signed) if subscribes else None
        print(announcement(settings, words, endpoint), flush=True)  # noqa: T201
        if not words.yes and not _agreed(words.verb):
            return _fail("nothing was changed", 1)
        asyncio.run(change(settings, words, endpoint))
    except SettingsError as error:
        return _fail(str(error), EXIT_WRONG_SETTINGS)
    except (LeadstreamError, RedisError) as error:
        return _fail(f"{told(error)}; what is listed above as done is done, and repeating it is harmless", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="c2s")
    parser.add_argument("verb", choices=("subscribe", "unsubscribe"))
    parser.add_argument("--url", default="")
    parser.add_argument("--path", default="")
    parser.add_argument("--method", default="", choices=("", "POST", "PUT", "DELETE"))
    parser.add_argument("--signed", action="store_true")
    parser.add_argument("--yes", action="store_true")
    return parser


def _agreed(verb: str) -> bool:
    try:
        return input(f"{verb}? [y/N] ").strip().lower() in ("y", "yes", "s", "sim")
    except (EOFError, KeyboardInterrupt):
        return False


def _fail(words: str, code: int) -> int:
    print(f"error: {words}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
