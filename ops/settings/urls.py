"""What the URLs among the settings must be. They hold passwords and tokens, so no error quotes one."""

from collections.abc import Sequence
from urllib.parse import urlsplit

HTTP = ("https", "http")
_MALFORMED = (
    "is no URL: a port is no number, or a host is malformed; "
    "in a password / ? # [ ] and @ must be written as %2F %3F %23 %5B %5D and %40"
)


def wrong_url(url: str, schemes: Sequence[str]) -> str:
    """What is wrong with a URL, of one host or of several with commas between; empty where nothing is.

    Args:
        url: as it was set.
        schemes: of which it must be; any where there is none.
    """
    try:
        parts = urlsplit(url)
        for name in parts.netloc.rpartition("@")[2].split(","):
            _ = urlsplit(f"//{name}").port
    except ValueError:
        return _MALFORMED
    if schemes and parts.scheme not in schemes:
        return f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if schemes is HTTP and not parts.hostname:
        return "must look like https://host"
    return ""
