"""``python -m image``: the Dockerfile without Docker: linted, its build stage carried out, its result run.

* hadolint reads the Dockerfile (it comes as a wheel, from requirements/image.lock);
* the build stage's COPY and RUN lines are carried out in order, /src, /tools and /venv being folders of a new
  directory: only what .dockerignore and the COPY lines let in is there;
* everything is made read-only, and the door is started from it as user 10001 (where we are root), with the
  image's ENV and a real Redis and Postgres: it must become healthy by the HEALTHCHECK's own command, and must
  not have written anything.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ops.dev.ports import free_port
from ops.dev.postgres_server import EmbeddedPostgres
from ops.dev.redis_server import EmbeddedRedis

ROOT = Path(__file__).parents[2]
USER = 10001
HEALTHY_S = 30.0


def instructions(text: str) -> list[list[tuple[str, str]]]:
    """Instructions of each stage, continued lines joined, remarks left out."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append([])
        if word:
            stages[-1].append((word, rest.strip()))
    return stages


def interpreter_for(place: Path) -> Path:
    """A Python that the image's user may read: a copy, where ours lies in somebody's home."""
    ours = Path(sys.base_prefix)
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o005 == 0o005 for folder in (ours, *ours.parents)):
        return Path(sys.executable)
    ignore = shutil.ignore_patterns(
        "test", "tests", "site-packages", "__pycache__", "*.a", "share", "idlelib"
    )
    shutil.copytree(ours, place / "python", symlinks=True, ignore=ignore)
    return place / "python/bin/python3"


def build(stage: list[tuple[str, str]], place: Path, interpreter: Path) -> None:
    """Carry out a stage's COPY and RUN lines below ``place``."""
    (place / "src").mkdir()
    for word, rest in stage:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                goal = place / "src" / target / (source if target == "./" else "")
                ignore = shutil.ignore_patterns("__pycache__")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, goal, ignore=ignore)
                else:
                    shutil.copy(ROOT / source, goal)
        elif word == "RUN":
            command = re.sub(r"(?<![\w.])/(tools|venv)(?=/| |$)", rf"{place}/\1", rest)
            command = re.sub(r"^python ", f"{interpreter} ", command)
            print(f"RUN {rest[:100]}", flush=True)
            env = dict(os.environ) | {"UV_SYSTEM_CERTS": "true", "UV_LINK_MODE": "copy"}
            subprocess.run(["bash", "-euc", command], cwd=place / "src", env=env, check=True)


def serve(stage: list[tuple[str, str]], place: Path) -> None:
    """Start the image's command as its user with nothing writable, and wait until it is healthy."""
    words = dict(stage)
    environment = {"PATH": f"{place}/venv/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    if (place / "python").exists():  # its own library, not that of a system's Python
        environment["LD_LIBRARY_PATH"] = str(place / "python/lib")
    assert words["ENV"].startswith("PATH=/venv/bin:$PATH")
    assert "PYTHONDONTWRITEBYTECODE=1" in words["ENV"]
    uid = int(words["USER"].split(":")[0])
    health = json.loads(words["HEALTHCHECK"].partition(" CMD ")[2])
    command = json.loads(words["CMD"])
    before = sorted((place / "venv").rglob("*"))
    subprocess.run(["chmod", "-R", "a+rX,a-w", str(place / "venv")], check=True)
    as_user = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as data, EmbeddedRedis(Path(data) / "r") as redis:
        postgres = EmbeddedPostgres(Path(data) / "p", fsync=False)
        with postgres:
            env = environment | {
                "REDIS_URL": redis.url, "DATABASE_URL": postgres.url, "C2S_WEBHOOK_SECRET": "s",
                "HOST": "127.0.0.1", "PORT": str(free_port()),
            }  # fmt: skip
            subprocess.run(["c2s", "migrate"], env=env, cwd="/", check=True, **as_user)
            with subprocess.Popen(command, env=env, cwd="/", stdout=subprocess.DEVNULL, **as_user) as door:
                try:
                    until_healthy(door, health, env, as_user)
                finally:
                    door.terminate()
                assert door.wait(30) == 0
    assert sorted((place / "venv").rglob("*")) == before, "something was written"


def until_healthy(door: subprocess.Popen, health: list[str], env: dict[str, str], as_user: dict) -> None:
    deadline = time.monotonic() + HEALTHY_S
    while subprocess.run(health, env=env, cwd="/", check=False, **as_user).returncode != 0:
        assert door.poll() is None, "the door ended"
        assert time.monotonic() < deadline, "not healthy in time"
        time.sleep(0.2)


def main() -> int:
    dockerfile = ROOT / "Dockerfile"
    first, last = instructions(dockerfile.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        place.chmod(0o755)
        build(first, place, interpreter_for(place))
        subprocess.run([place / "tools/bin/hadolint", "--failure-threshold", "info", dockerfile], check=True)
        print("hadolint: nothing to say")
        parts = json.loads((place / "venv/sbom.cdx.json").read_text(encoding="utf-8"))["components"]
        serve(last, place)
        size = sum(path.stat().st_size for path in (place / "venv").rglob("*") if path.is_file()) / 1e6
        subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)
    print(
        f"healthy as user {USER}, read-only; /venv {size:.0f} MB, {len(parts)} parts in its bill of materials"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
