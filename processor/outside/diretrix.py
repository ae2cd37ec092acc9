"""Diretrix: from a phone or an e-mail to CPFs (C2S.md §2). The path holds the contact: never log it."""

from urllib.parse import quote

import aiohttp
import structlog

from processor.contacts import clean_cpf
from processor.outside.answers import Malformed
from processor.outside.http import OutsideClient, Request, Transport
from processor.people import Found
from processor.text import clean

FOUND_MAX = 10
_NAME_CHARS_MAX = 200
_SCANNED_MAX = 200
# The contact is unknown, or refused as impossible: nothing that asking again would change.
_NO_DATA = frozenset({204, 400, 404, 410, 422})

log = structlog.get_logger(__name__)


class DiretrixClient(OutsideClient):
    """Look-ups that give persons, best first, at most 10; errors as in `OutsideClient.send`.

    An answer that makes no sense is logged as ``enrichment.malformed`` and counts as nobody found.
    """

    api = "diretrix"
    permanent_4xx = False

    def __init__(
        self, transport: Transport, *, base_url: str, user: str, password: str, timeout_s: float
    ) -> None:
        auth = aiohttp.encode_basic_auth(user, password, encoding="utf-8")
        super().__init__(transport, base_url, timeout_s, {"Authorization": auth})

    async def by_phone(self, digits: str) -> list[Found]:
        """Who has this phone; ``digits`` are national, without the 55."""
        return await self._find("phone", f"/Consultas/Pessoa/Telefone/{quote(digits, safe='')}")

    async def by_email(self, email: str) -> list[Found]:
        """Who has this e-mail address."""
        return await self._find("email", f"/Consultas/Pessoa/Email/{quote(email, safe='')}")

    async def _find(self, call: str, path: str) -> list[Found]:
        try:
            answer = await self.send(Request(call=call, method="GET", path=path, no_data=_NO_DATA))
        except Malformed as error:
            log.warning("enrichment.malformed", api=self.api, call=call, code=error.code)
            return []
        if answer is not None and not isinstance(answer, list):
            log.warning("enrichment.malformed", api=self.api, call=call, code="diretrix_malformed")
        return _persons(answer)


def _persons(answer: object) -> list[Found]:
    found: dict[str, Found] = {}
    for item in answer[:_SCANNED_MAX] if isinstance(answer, list) else []:
        cpf = clean_cpf(item.get("cpf")) if isinstance(item, dict) else None
        if cpf is not None and cpf not in found:
            name = item.get("nome")
            found[cpf] = Found(clean(name, _NAME_CHARS_MAX) if isinstance(name, str) else "", cpf)
    return list(found.values())[:FOUND_MAX]
