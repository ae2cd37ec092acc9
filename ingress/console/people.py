"""The people found by enrichment, masked: initials and the middle of the CPF."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ingress.answers import mask_cpf
from ops.operating import Operating
from ops.persons import Persons
from ops.postgres import translated
from ops.queries import query
from schema.errors import CodecError


async def people(operating: Operating, most: int, after: tuple[datetime, int] | None) -> list[dict[str, Any]]:
    """Those found last, or those that come after one in that list."""
    found = []
    with translated("listing people"):
        async with operating.pool.acquire() as connection:
            rows = await connection.fetch(query("people_list"), most, *(after or (None, None)))
            try:
                persons: Mapping[str, Any] = await Persons(operating.codec).named(
                    connection, [r["cpf"] for r in rows]
                )
            except CodecError:
                persons = {}
    for row in rows:
        person = persons.get(row["cpf"])
        try:
            cpf = person.open("cpf", row["cpf_sealed"]) if person and row["cpf_sealed"] else row["cpf"]
            name = person.open("name", row["name"] or "") if person else ""
        except CodecError:
            cpf = name = ""
        found.append(
            {"id": row["id"], "cpf": mask_cpf(cpf), "name": initials(name), "at": row["updated_at"],
             "leads": row["leads"]}
        )  # fmt: skip
    return found


def initials(name: str) -> str:
    """``Ana Maria`` as ``A••• M•••``."""
    return " ".join(f"{word[0]}•••" for word in name.split()) or "–"
