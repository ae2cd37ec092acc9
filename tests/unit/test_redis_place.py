"""What REDIS_URL may say."""

import pytest

from ops.redis_place import place_of


def test_a_cluster_is_named_by_some_of_its_nodes():
    """Hosts with and without ports; credentials and options go to every node."""
    place = place_of("rediss+cluster://u:p%40x@a:7000,b,[::1]:7001?ssl_cert_reqs=none")
    assert (place.kind, place.seeds) == ("cluster", (("a", 7000), ("b", 6379), ("::1", 7001)))
    assert place.node_url("c", 1) == "rediss://u:p%40x@c:1/0?ssl_cert_reqs=none"
    assert place.node_url("::1", 1) == "rediss://u:p%40x@[::1]:1/0?ssl_cert_reqs=none"


def test_a_master_is_named_by_its_sentinels():
    """Their own credentials are apart from the master's."""
    place = place_of("redis+sentinel://:secret@a,b:5/leads/3?sentinel_password=other&protocol=2")
    assert (place.kind, place.master, place.seeds) == ("sentinel", "leads", (("a", 26379), ("b", 5)))
    assert place.of_sentinel == (("password", "other"),)
    assert place.node_url("m", 1) == "redis://:secret@m:1/3?protocol=2"


def test_one_server_stays_as_it_is():
    """Whatever redis-py understands."""
    for url in ("redis://h:1/0", "rediss://:p@h", "unix:///run/redis.sock?db=1"):
        assert (place_of(url).kind, place_of(url).url) == ("one", url)


@pytest.mark.parametrize(
    "url",
    ["http://h", "redis+cluster://h/1", "redis+sentinel://h", "redis+cluster://", "redis+cluster://h:port"],
)
def test_what_is_malformed_is_said_without_quoting_it(url):
    """A URL may hold a password."""
    with pytest.raises(ValueError, match=r"must|needs|missing|no ") as caught:
        place_of(url)
    assert "h:" not in str(caught.value).replace("host:port", "").replace("redis://", "")
