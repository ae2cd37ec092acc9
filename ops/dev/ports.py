"""Free TCP ports on the loopback interface."""

import random
import socket

from ops.dev.errors import DevServerError

LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
_HIGHEST = 32_000
_TRIES = 200


def free_port(rng: random.Random | None = None) -> int:
    """A port on 127.0.0.1 that nothing listens on right now.

    It is drawn from below Linux's range for outgoing connections (32768 and up): a server that is
    killed and restarted must find its port still free, and an outgoing connection of some other
    process could have been given a port from that range meanwhile.

    Args:
        rng: source of randomness, handed in by tests.

    Raises:
        DevServerError: 200 drawn ports were all taken.
    """
    draw = rng if rng is not None else random.SystemRandom()
    for _ in range(_TRIES):
        port = draw.randint(_LOWEST, _HIGHEST)
        if is_free(port):
            return port
    raise DevServerError(f"no free port between {_LOWEST} and {_HIGHEST} in {_TRIES} tries on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now (ports in TIME_WAIT count as free)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
