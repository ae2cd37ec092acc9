"""What `c2s up` runs, with which settings: pure decisions.

Every service inherits our environment. A plan adds only what the environment does not give, so whoever sets
REDIS_URL, C2S_BASE_URL, … gets exactly that.
"""

import sys
from dataclasses import dataclass

from pydantic import SecretStr

from ops.dev.credentials import Credentials, as_environment
from ops.dev.ports import LOOPBACK
from ops.settings import Settings
from ops.supervise.service import ServiceSpec

C2S_RATE_LIMIT = "120/minute"  # a newcomer sees leads move; the real default is 10/minute
LOOK_UP_RATE_LIMIT = "600/minute"
_SANDBOX_CREDENTIAL = "sandbox"
_TELLING = ("debug", "info")  # log levels at which services say that they are ready
_OF_ONE_PROCESS = frozenset(
    {"host", "port", "metrics_port", "ingress_reuse_port", "instance", "log_level", "log_format"}
)


@dataclass(frozen=True, slots=True)
class Api:
    """An outside API and the settings that lead to it; ``credentials`` are those it demands."""

    base_url: str
    credentials: tuple[str, ...]
    rate_limit: str
    rate: str


_APIS = (
    Api("c2s_base_url", ("c2s_token",), "c2s_rate_limit", C2S_RATE_LIMIT),
    Api("diretrix_base_url", ("diretrix_user", "diretrix_pass"), "diretrix_rate_limit", LOOK_UP_RATE_LIMIT),
    Api("work_api_base_url", ("work_api_key",), "work_api_rate_limit", LOOK_UP_RATE_LIMIT),
)


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on the loopback interface, fixed for the run so that a restart finds the same."""

    ingress: int
    sandbox: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided before anything starts.

    Attributes:
        redis_url: of the Redis in use, embedded or given; likewise ``database_url``.
        processors: how many.
    """

    settings: Settings
    credentials: Credentials
    ports: Ports
    redis_url: str
    database_url: str
    processors: int

    @property
    def ingress_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.ingress}"

    @property
    def webhook_url(self) -> str:
        return f"{self.ingress_url}/api/v1/webhook/leads"

    @property
    def sandboxed(self) -> tuple[Api, ...]:
        """The outside APIs that the sandbox stands in for."""
        return tuple(api for api in _APIS if not is_given(self.settings, api.base_url))

    @property
    def leaves_machine(self) -> bool:
        """Whether any outside API is real: no sample lead may cost a look-up or reach a broker."""
        return self.sandboxed != _APIS

    @property
    def sandbox_url(self) -> str:
        """Empty where no sandbox is needed."""
        return f"http://{LOOPBACK}:{self.ports.sandbox}" if self.sandboxed else ""

    def environment(self) -> dict[str, str]:
        """What the environment of the services lacks."""
        found = {"REDIS_URL": self.redis_url, "DATABASE_URL": self.database_url, "LOG_FORMAT": "json"}
        found |= as_environment(self.credentials)
        if self.settings.allow_open_trigger:
            del found["TRIGGER_API_KEY"]
        for api in self.sandboxed:
            found[api.base_url.upper()] = self.sandbox_url
            found |= {name.upper(): _SANDBOX_CREDENTIAL for name in api.credentials}
            found[api.rate_limit.upper()] = api.rate
        missing = {n: value for n, value in found.items() if not is_given(self.settings, n.lower())}
        quiet = self.settings.log_level not in _TELLING
        return {**missing, "LOG_LEVEL": "info"} if quiet else missing

    def whole_environment(self) -> dict[str, str]:
        """The same with what was given: a CLI command in another shell shares none of our environment."""
        names = self.settings.model_fields_set - _OF_ONE_PROCESS
        given = {n.upper(): text_of(self.settings, n) for n in names if is_given(self.settings, n)}
        return given | self.environment()

    def services(self) -> list[ServiceSpec]:
        """What to start, in order."""
        common = self.environment()
        host = {} if is_given(self.settings, "host") else {"HOST": LOOPBACK}
        specs = [self._sandbox()] if self.sandboxed else []
        specs.append(_module("ingress", "ingress", {**common, **host, "PORT": str(self.ports.ingress)}))
        specs += [
            _module(f"processor-{n + 1}", "processor", {**common, **self._metrics(n + 1)})
            for n in range(self.processors)
        ]
        specs.append(_module("projector", "projections", {**common, **self._metrics(0)}))
        return specs

    def _metrics(self, number: int) -> dict[str, str]:
        """A port of its own for each process with /metrics: they count on, as those of `c2s run` do."""
        port = self.settings.metrics_port
        return {"METRICS_PORT": str(port + number)} if port else {}

    def probes(self) -> dict[str, str]:
        """URLs that answer 200 once a service is ready, by the service's name."""
        found = {"ingress": f"{self.ingress_url}/ready"}
        if self.sandboxed:
            found["sandbox"] = f"{self.sandbox_url}/_sandbox/state"
        return found

    def first_words(self) -> dict[str, str]:
        """What services that have no URL log once they are ready, by the service's name."""
        found = {f"processor-{n + 1}": "processor.started" for n in range(self.processors)}
        return {**found, "projector": "projector.active"}

    def _sandbox(self) -> ServiceSpec:
        s = self.settings
        # The sandbox reads plain variables only, so a secret given as a file is handed over as text.
        env = {
            "C2S_TOKEN": s.c2s_token.get_secret_value() or _SANDBOX_CREDENTIAL,
            "DIRETRIX_USER": s.diretrix_user or _SANDBOX_CREDENTIAL,
            "DIRETRIX_PASS": s.diretrix_pass.get_secret_value() or _SANDBOX_CREDENTIAL,
            "WORK_API_KEY": s.work_api_key.get_secret_value() or _SANDBOX_CREDENTIAL,
            "C2S_RATE_LIMIT": s.c2s_rate_limit if is_given(s, "c2s_rate_limit") else C2S_RATE_LIMIT,
            "C2S_WEBHOOK_SECRET": self.credentials.webhook_secret,
            "SANDBOX_WEBHOOK_URL": self.webhook_url,
        }
        return _module("sandbox", "ops.sandbox", env, "--port", str(self.ports.sandbox))


def is_given(settings: Settings, name: str) -> bool:
    """Whether the environment gives a setting (an empty text gives nothing)."""
    if name not in settings.model_fields_set:
        return False
    return bool(text_of(settings, name)) or name.endswith("rate_limit")  # an empty rate means: no limit


def text_of(settings: Settings, name: str) -> str:
    """A setting as the environment would hold it."""
    value = getattr(settings, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _module(name: str, module: str, env: dict[str, str], *arguments: str) -> ServiceSpec:
    return ServiceSpec(name, (sys.executable, "-m", module, *arguments), {**env, "INSTANCE": name})
