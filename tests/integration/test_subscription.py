"""subscribe and unsubscribe, command and script alike, against the sandbox's C2S."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support_forks import run_c2s

from ops.sandbox.app import create_app
from ops.sandbox.config import SandboxConfig

SCRIPTS = Path(__file__).parents[2] / "ops" / "scripts"
DOOR = "https://door.example.com/api/v1/webhook/leads"
TOKEN = "url-token-of-ours"
ALL = ["on_create_lead", "on_update_lead", "on_close_lead"]
SUBSCRIBE = {"command": ["c2s", "subscribe"], "script": [SCRIPTS / "register_c2s_webhook.sh"]}
UNSUBSCRIBE = {"command": ["c2s", "unsubscribe"], "script": [SCRIPTS / "unregister_c2s_webhook.sh"]}
both = pytest.mark.parametrize("way", ["command", "script"])


@dataclass
class World:
    client: TestClient
    folder: Path
    redis_url: str

    async def run(self, argv: list, *words: str, says: str = "", **env: str) -> subprocess.CompletedProcess:
        env = {
            "C2S_BASE_URL": str(self.client.make_url("")).rstrip("/"),
            "C2S_TOKEN": "t",
            "C2S_RATE_LIMIT": "600/minute",
            "REDIS_URL": self.redis_url,
            "WEBHOOK_URL": DOOR,
            "C2S_WEBHOOK_SECRET": "hmac-secret",
        } | env
        if argv[0] == "c2s":
            return await asyncio.to_thread(run_c2s, *argv[1:], *words, env=env, cwd=self.folder, says=says)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return await asyncio.to_thread(
            subprocess.run, [*argv, *words], env=kept | env, cwd=self.folder, input=says,
            text=True, capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    async def subscription(self) -> dict | None:
        async with self.client.get("/_sandbox/state") as answer:
            return (await answer.json())["subscription"]


@pytest.fixture
async def world(tmp_path: Path, redis_url: str) -> AsyncIterator[World]:
    config = SandboxConfig("t", "u", "p", "k")
    async with TestClient(TestServer(create_app(config))) as client:
        yield World(client, tmp_path, redis_url)


@both
async def test_it_says_what_it_replaces_and_asks(world, way):
    """A no (or no answer at all) changes nothing; a yes subscribes all three actions."""
    for answer in ("n\n", ""):
        refused = await world.run(SUBSCRIBE[way], says=answer)
        assert (refused.returncode, "nothing was changed" in refused.stderr) == (1, True)
    assert "ONE endpoint per token" in refused.stdout
    assert "is replaced" in refused.stdout
    assert await world.subscription() is None
    done = await world.run(SUBSCRIBE[way], says="y\n")
    assert done.returncode == 0, done.stderr
    assert "the token is good" in done.stdout
    assert await world.subscription() == {"hook_url": DOOR, "actions": ALL}


@both
async def test_the_url_token_becomes_part_of_the_url_and_is_never_shown(world, way):
    """C2S gets it in clear, people see ***, and the HMAC secret stays here."""
    done = await world.run(SUBSCRIBE[way], "--yes", C2S_WEBHOOK_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert (await world.subscription())["hook_url"] == f"{DOOR}/{TOKEN}"
    assert f"{DOOR}/***" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


@both
async def test_an_address_that_has_the_token_already_gets_it_once(world, way):
    """Copied from the door's own words, say; without https it is said that webhooks travel in clear."""
    url = f"{DOOR.replace('https', 'http')}/{TOKEN}"
    done = await world.run(SUBSCRIBE[way], "--yes", C2S_WEBHOOK_TOKEN=TOKEN, WEBHOOK_URL=url)
    assert done.returncode == 0, done.stderr
    assert (await world.subscription())["hook_url"] == url
    assert "not https" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


@both
async def test_a_secret_of_any_characters_arrives(world, way):
    """Quotes and backslashes too."""
    done = await world.run(SUBSCRIBE[way], "--yes", C2S_WEBHOOK_SECRET='a"b\\c')
    assert done.returncode == 0, done.stderr


@both
async def test_a_bad_token_changes_nothing(world, way):
    """The token is checked before the first call that changes something."""
    await world.run(SUBSCRIBE[way], "--yes")
    for argv in (SUBSCRIBE[way], UNSUBSCRIBE[way]):
        refused = await world.run(argv, "--yes", C2S_TOKEN="revoked", WEBHOOK_URL="https://other.example.com")
        assert refused.returncode == 1
        assert "revoked" not in refused.stdout + refused.stderr
    assert await world.subscription() == {"hook_url": DOOR, "actions": ALL}


@both
@pytest.mark.parametrize(
    "variant",
    [
        ["--path", "/integration/leads/subscribe", "--method", "DELETE"],
        ["--path", "/integration/api/unsubscribe", "--method", "POST"],
    ],
)
async def test_both_spellings_of_unsubscribe(world, way, variant):
    """The plan's DELETE and the documents' POST; asked for first."""
    await world.run(SUBSCRIBE[way], "--yes", "--path", "/integration/api/subscribe")
    assert (await world.subscription())["actions"] == ALL
    assert (await world.run(UNSUBSCRIBE[way], *variant, says="n\n")).returncode == 1
    assert await world.subscription() is not None
    done = await world.run(UNSUBSCRIBE[way], "--yes", *variant)
    assert done.returncode == 0, done.stderr
    assert await world.subscription() is None


@both
async def test_unsubscribe_as_it_comes(world, way):
    """Without any variant it works too."""
    await world.run(SUBSCRIBE[way], "--yes")
    assert (await world.run(UNSUBSCRIBE[way], "--yes")).returncode == 0
    assert await world.subscription() is None


@both
async def test_c2s_that_refuses_is_told_with_code_1(world, way):
    """An endpoint that is not there: exit code 1, and what was done before is said."""
    refused = await world.run(SUBSCRIBE[way], "--yes", "--path", "/integration/nowhere")
    assert refused.returncode == 1
    assert await world.subscription() is None


@pytest.mark.parametrize(
    ("words", "env", "named"),
    [
        (["subscribe"], {"WEBHOOK_URL": ""}, "WEBHOOK_URL"),
        (["subscribe"], {"WEBHOOK_URL": "door.example.com"}, "WEBHOOK_URL"),
        (["subscribe"], {"C2S_TOKEN": ""}, "C2S_TOKEN"),
        (["subscribe"], {"C2S_WEBHOOK_SECRET": ""}, "C2S_WEBHOOK_TOKEN"),
        (["unsubscribe"], {"C2S_TOKEN": ""}, "C2S_TOKEN"),
        (["unsubscribe", "--method", "BREW"], {}, "BREW"),
    ],
)
async def test_wrong_use_names_itself(world, words, env, named):
    """Exit code 2, before anything is asked of C2S."""
    done = await world.run(["c2s"], *words, "--yes", **env)
    assert (done.returncode, named in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"WEBHOOK_URL": ""}, "WEBHOOK_URL"),
        ({"WEBHOOK_URL": "door.example.com"}, "WEBHOOK_URL"),
        ({"WEBHOOK_URL": "https://door.example.com/?a"}, "WEBHOOK_URL"),
        ({"C2S_TOKEN": ""}, "C2S_TOKEN"),
        ({"C2S_WEBHOOK_SECRET": ""}, "C2S_WEBHOOK_TOKEN"),
        ({"C2S_WEBHOOK_TOKEN": "a/b"}, "C2S_WEBHOOK_TOKEN"),
    ],
)
async def test_wrong_use_of_the_script_names_itself(world, env, named):
    """Exit code 2, before anything is asked of C2S."""
    done = await world.run(SUBSCRIBE["script"], "--yes", **env)
    assert (done.returncode, named in done.stderr) == (2, True), done.stderr
    assert await world.subscription() is None


async def test_signed_mode_and_no_redis(world):
    """`--signed` leaves the token out; without Redis the command keeps its own pace."""
    done = await world.run(
        SUBSCRIBE["command"],
        "--yes",
        "--signed",
        C2S_WEBHOOK_TOKEN=TOKEN,
        REDIS_URL="redis://127.0.0.1:1/0",
        C2S_RATE_LIMIT="20/second",
    )
    assert done.returncode == 0, done.stderr
    assert (await world.subscription())["hook_url"] == DOOR
