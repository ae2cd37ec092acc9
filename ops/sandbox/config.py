"""What a sandbox is told when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass

REAL_C2S_RATE_LIMIT = "10/minute"  # measured by an integrator (C2S.md §1)
NO_LATENCY = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Credentials, the C2S budget, where webhooks go, and how slow each API is.

    Attributes:
        c2s_rate_limit: ``N/second``, ``N/minute`` or ``N/hour`` for all C2S calls together; empty or
            ``0`` means no limit.
        webhook_url: where created leads' webhooks are delivered while nothing is subscribed; may be empty.
        webhook_secret: signs them (hex HMAC-SHA256 in ``X-C2S-Signature``); empty sends no signature.
        c2s_latency_s: least and most seconds before an answer; likewise for the other two.
        seed: of the randomness behind latencies, fault probabilities and dropped webhooks.
    """

    c2s_token: str
    diretrix_user: str
    diretrix_pass: str
    work_api_key: str
    c2s_rate_limit: str = ""
    webhook_url: str = ""
    webhook_secret: str = ""
    c2s_latency_s: tuple[float, float] = NO_LATENCY
    diretrix_latency_s: tuple[float, float] = NO_LATENCY
    work_latency_s: tuple[float, float] = NO_LATENCY
    seed: int = 0


def from_env(environ: Mapping[str, str], *, latency: float = 1.0) -> SandboxConfig:
    """The configuration that environment variables give, with the latencies of C2S.md.

    Args:
        environ: e.g. ``os.environ``.
        latency: multiplies every latency; 0 answers at once.
    """
    rate_limit = environ.get("SANDBOX_C2S_RATE_LIMIT", environ.get("C2S_RATE_LIMIT", REAL_C2S_RATE_LIMIT))
    return SandboxConfig(
        c2s_token=environ.get("C2S_TOKEN") or "sandbox",
        diretrix_user=environ.get("DIRETRIX_USER") or "sandbox",
        diretrix_pass=environ.get("DIRETRIX_PASS") or "sandbox",
        work_api_key=environ.get("WORK_API_KEY") or "sandbox",
        c2s_rate_limit=rate_limit,
        webhook_url=environ.get("SANDBOX_WEBHOOK_URL", ""),
        webhook_secret=environ.get("C2S_WEBHOOK_SECRET", ""),
        c2s_latency_s=(0.02 * latency, 0.08 * latency),
        diretrix_latency_s=(0.05 * latency, 0.2 * latency),
        work_latency_s=(0.4 * latency, 0.7 * latency),
    )
