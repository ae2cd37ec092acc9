"""Contact2Sale (C2S.md §1). Every 4xx of C2S is final, except those of account and pace.

Its answers decide whether a lead is messaged again, so an answer that does not look like a lead is an
error (retry later), never an empty lead.
"""

from typing import Any
from urllib.parse import quote

from processor.outside.answers import Malformed
from processor.outside.http import OutsideClient, Request, Transport
from schema.lead import Lead, lead_of
from schema.webhook import lead_object

PAGE_MAX = 50
MESSAGE_PATH = "/integration/leads/{id}/create_message"

_LEAD_GONE = {404: "lead_gone", 410: "lead_gone"}


class C2SClient(OutsideClient):
    """The C2S calls; errors as in `OutsideClient.send`."""

    api = "c2s"
    permanent_4xx = True

    def __init__(
        self,
        transport: Transport,
        *,
        base_url: str,
        token: str,
        timeout_s: float,
        message_path: str = MESSAGE_PATH,
    ) -> None:
        super().__init__(transport, base_url, timeout_s, {"Authorization": f"Bearer {token}"})
        self._message_path = message_path

    async def get_lead(self, lead_id: str) -> Lead:
        """One lead with its customer and messages.

        Raises:
            Permanent: code ``lead_gone``, C2S knows no such lead.
        """
        return lead_of(lead_id, await self.get_lead_raw(lead_id))

    async def get_lead_raw(self, lead_id: str) -> dict[str, Any]:
        """The same, as C2S sent it."""
        path = f"/integration/leads/{quote(lead_id, safe='')}"
        answer = await self.send(Request(call="get_lead", method="GET", path=path, codes=_LEAD_GONE))
        if isinstance(answer, dict) and _is_lead(lead_object(answer)):
            return answer
        raise self._malformed("get_lead", "the answer holds no lead")

    async def create_message(self, lead_id: str, body: str) -> None:
        """Put a message on a lead; returns only if C2S said that it did.

        Raises:
            Permanent: code ``lead_gone``, C2S knows no such lead.
            Ambiguous: the message may be there: read the lead before sending again.
        """
        await self.send(
            Request(
                call="create_message",
                method="POST",
                path=self._message_path.replace("{id}", quote(lead_id, safe="")),
                body={"body": body},
                effect=True,
                codes=_LEAD_GONE,
            )
        )

    async def list_leads(
        self, *, updated_gte: str, page: int = 1, perpage: int = PAGE_MAX
    ) -> list[dict[str, Any]]:
        """One page of leads as C2S sent them, the last updated first; empty after the last page.

        Args:
            updated_gte: ISO-8601 with an offset; older leads are left out.
            page: from 1.
            perpage: at most 50.
        """
        params = {
            "page": str(page),
            "perpage": str(perpage),
            "sort": "-updated_at",
            "updated_gte": updated_gte,
        }
        answer = await self.send(
            Request(call="list_leads", method="GET", path="/integration/leads", params=params)
        )
        leads = answer.get("data") if isinstance(answer, dict) else answer
        if not isinstance(leads, list):
            raise self._malformed("list_leads", "the answer holds no list of leads")
        return [lead for lead in leads if isinstance(lead, dict)]

    async def company(self, path: str = "/integration/company") -> dict[str, Any]:
        """The company that the token belongs to: the cheap token check."""
        answer = await self.send(Request(call="company", method="GET", path=path))
        if isinstance(answer, dict):
            return answer
        raise self._malformed("company", "the answer holds no company")

    async def subscribe(
        self,
        hook_url: str,
        action: str,
        secret: str = "",
        *,
        path: str = "/integration/leads/subscribe",
        method: str = "POST",
    ) -> None:
        """Have an action's webhooks sent to ``hook_url``; an earlier URL of this token is dropped by C2S.

        Both documented spellings are sent. Repeating it changes nothing.
        """
        body = {"hook_url": hook_url, "hook_action": action, "url": hook_url, "action": action}
        if secret:
            body["secret"] = secret
        await self.send(Request(call="subscribe", method=method, path=path, body=body))

    async def unsubscribe(
        self, action: str = "", *, path: str = "/integration/api/unsubscribe", method: str = "POST"
    ) -> None:
        """Stop an action's webhooks, or all (the seed has ``DELETE /integration/leads/subscribe``)."""
        body = {"hook_action": action, "action": action} if action else None
        await self.send(Request(call="unsubscribe", method=method, path=path, body=body))

    def _malformed(self, call: str, what: str) -> Malformed:
        return Malformed(f"{self.api} {call}: {what}", code=f"{self.api}_malformed", api=self.api)


def _is_lead(lead: dict[str, Any]) -> bool:
    named = bool(lead.get("id") or lead.get("lead_id"))
    return named and (isinstance(lead.get("attributes"), dict) or "customer" in lead)
