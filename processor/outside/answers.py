"""From what came back to the error that decides what happens next. Pure.

Statuses:

- 401, 402, 403: our account is refused or unpaid: `Unauthorized`, work waits for the operator.
- 429: `Throttled`, with the wait asked for.
- 408, 425: the server says that it did not take the request: `Retryable`.
- other 4xx: final for C2S (`Permanent`); for the enrichment APIs `Retryable`, since nothing is wrong
  with the lead (the statuses that mean *no such person* are the caller's ``no_data``).
- 3xx (redirects are not followed) and 5xx: `Retryable`; `Ambiguous` where the call has an effect.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from schema.errors import Ambiguous, Permanent, PipelineError, Retryable, Throttled, Unauthorized

RETRY_AFTER_MAX_S = 3600.0

_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_ACCOUNT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN})
_NOT_TAKEN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})


class Malformed(Retryable):
    """The answer is whole but makes no sense: not JSON, of another shape, or too large."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Makes the errors of one call; their texts name the API and the call, never the URL."""

    api: str
    call: str
    effect: bool

    def not_sent(self, kind: str, what: str) -> Retryable:
        """Nothing left this machine: safe to repeat."""
        return Retryable(self.text(what), code=f"{self.api}_{kind}", api=self.api)

    def unknown(self, kind: str, what: str, retry_after_s: float | None = None) -> Retryable:
        """The request may have been carried out."""
        error = Ambiguous if self.effect else Retryable
        return error(self.text(what), code=f"{self.api}_{kind}", api=self.api, retry_after_s=retry_after_s)

    def malformed(self, kind: str, what: str) -> Retryable:
        """An answer came but cannot be understood; with an effect, neither can what happened."""
        error = Ambiguous if self.effect else Malformed
        return error(self.text(what), code=f"{self.api}_{kind}", api=self.api)

    def text(self, what: str) -> str:
        return f"{self.api} {self.call}: {what}"


def status_failure(
    failure: Failure,
    status: int,
    headers: Mapping[str, str],
    now: datetime,
    *,
    codes: Mapping[int, str],
    permanent_4xx: bool,
) -> PipelineError | None:
    """The error that an answer's status means, or None for 2xx (see the module's text).

    Args:
        failure: names the call.
        status: the answer's status.
        headers: case-insensitive, the answer's.
        now: wall time, for a ``Retry-After`` date in an answer that has no ``Date``.
        codes: error codes of statuses that have one of their own.
        permanent_4xx: whether this API's 4xx are final.
    """
    if status // 100 == HTTPStatus.OK // 100:
        return None
    api = failure.api
    wait_s = retry_after_s(headers, now)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(
            failure.text("too many requests (429)"), code=f"{api}_throttled", api=api, retry_after_s=wait_s
        )
    text = f"answered {status}"
    if status in _ACCOUNT:
        detail = failure.text(f"{text}; check the token or account")
        return Unauthorized(detail, code=f"{api}_unauthorized", api=api, retry_after_s=wait_s)
    code = codes.get(status) or ("not_found" if status == HTTPStatus.NOT_FOUND else f"http_{status}")
    is_4xx = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if is_4xx and permanent_4xx and status not in _NOT_TAKEN:
        return Permanent(failure.text(text), code=codes.get(status) or f"{api}_{code}", api=api)
    if is_4xx:
        return Retryable(failure.text(text), code=f"{api}_{code}", api=api, retry_after_s=wait_s)
    return failure.unknown(code, text, wait_s)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that ``Retry-After`` asks for (a number or an HTTP date), 0 to 3600; None where unusable.

    A date is measured against the answer's own ``Date``: the two clocks may differ by minutes.
    """
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), RETRY_AFTER_MAX_S)
    until = _http_date(text)
    if until is None:
        return None
    wait_s = (until - (_http_date(headers.get("Date", "")) or now)).total_seconds()
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
