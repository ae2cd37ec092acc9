"""Work API: from a CPF to a profile (C2S.md §3). The token is in the query string: never log the URL."""

import structlog

from processor.outside.answers import Malformed
from processor.outside.http import OutsideClient, Request, Transport
from processor.profile import Profile, profile_from_work

# The CPF is unknown, or refused as impossible: nothing that asking again would change.
_NO_DATA = frozenset({204, 400, 404, 410, 422})

log = structlog.get_logger(__name__)


class WorkClient(OutsideClient):
    """Profiles by CPF; errors as in `OutsideClient.send`."""

    api = "work"
    permanent_4xx = False

    def __init__(self, transport: Transport, *, base_url: str, token: str, timeout_s: float) -> None:
        super().__init__(transport, base_url, timeout_s)
        self._token = token

    async def profile(self, cpf: str) -> Profile | None:
        """The allow-listed profile of a CPF (11 digits), or None where nothing usable is known.

        An answer that makes no sense or is too large is logged as ``enrichment.malformed`` and counts
        as no data.
        """
        params = {"token": self._token, "modulo": "cpf", "consulta": cpf}
        request = Request(call="cpf", method="GET", path="/api", params=params, no_data=_NO_DATA)
        try:
            answer = await self.send(request)
        except Malformed as error:
            log.warning("enrichment.malformed", api=self.api, call="cpf", code=error.code)
            return None
        profile = profile_from_work(answer, cpf)
        if profile is None and answer:
            log.warning("enrichment.malformed", api=self.api, call="cpf", code="work_no_profile")
        return profile
