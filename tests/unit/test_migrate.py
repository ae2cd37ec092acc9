"""The migration files themselves: named, numbered, explained."""

import hashlib
import re

from ops.migrate import Migration, migrations

NAME = re.compile(r"(\d{3})_[a-z][a-z0-9_]*")


def test_no_two_files_have_the_same_number() -> None:
    """001, 002, … in order of application; numbers kept for other branches may be missing."""
    names = [NAME.fullmatch(m.version) for m in migrations()]
    assert all(names)
    numbers = [int(name[1]) for name in names if name]
    assert numbers == sorted(set(numbers))


def test_each_file_opens_with_its_reason() -> None:
    """The first line of a migration is a comment that says what it is for."""
    for migration in migrations():
        first = migration.sql.splitlines()[0]
        assert re.fullmatch(r"-- \S.{10,}", first), f"{migration.version} opens with {first!r}"


def test_no_file_ends_its_own_transaction() -> None:
    """The runner wraps a file in a transaction; a COMMIT inside would let half of it stay."""
    for migration in migrations():
        assert not re.search(r"^\s*(COMMIT|ROLLBACK)\s*;", migration.sql, re.MULTILINE | re.IGNORECASE)


def test_a_checksum_follows_every_byte() -> None:
    """The checksum is the file's SHA-256, so that a changed comment is noticed as well."""
    one, other = Migration("001_x", "SELECT 1;\n"), Migration("001_x", "SELECT 1; \n")
    assert one.checksum == hashlib.sha256(b"SELECT 1;\n").hexdigest()
    assert one.checksum != other.checksum
