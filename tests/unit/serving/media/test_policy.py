"""Hosts that are allowed, spelled in every way there is."""

from dataclasses import replace
from pathlib import Path

import pytest

from oryx.errors import ConfigError
from oryx.serving.media.policy import Host, MediaPolicy, host_name


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("example.com", "example.com", None),
        ("EXAMPLE.com.", "example.com", None),
        ("example.com:8443", "example.com", 8443),
        ("*.example.com", "*.example.com", None),
        ("bücher.example", "xn--bcher-kva.example", None),
        ("media", "media", None),
    ],
)
def test_hosts_are_read(text: str, name: str, port: int | None):
    assert Host.parse(text) == Host(name, port)


@pytest.mark.parametrize(
    "text",
    ["", "*", "http://example.com", "example.com/path", "a b", "a..b", "-a.com", "127.0.0.1", "[::1]", "::1",
     "2130706433", "0x7f000001", "127.1", "user@example.com", "example.com:", "example.com:0",
     "example.com:65536", "example.com:1:2", "*.127.0.0.1", "a" * 64 + ".com", "exam\x00ple.com"],
)  # fmt: skip
def test_what_is_no_host_is_a_sentence(text: str):
    with pytest.raises(ConfigError, match=r"allowed host|no host name"):
        MediaPolicy(allowed_hosts=(text,))


@pytest.mark.parametrize(
    ("host", "name", "scheme", "port", "is_admitted"),
    [
        ("example.com", "example.com", "https", 443, True),
        ("example.com", "example.com", "http", 80, True),
        ("example.com", "example.com", "http", 443, False),
        ("example.com", "example.com", "http", 8080, False),
        ("example.com:8080", "example.com", "http", 8080, True),
        ("example.com:8080", "example.com", "https", 443, False),
        ("example.com", "a.example.com", "https", 443, False),
        ("example.com", "badexample.com", "https", 443, False),
        ("example.com", "example.com.evil.org", "https", 443, False),
        ("*.example.com", "a.b.example.com", "https", 443, True),
        ("*.example.com", "example.com", "https", 443, False),
        ("*.example.com", "badexample.com", "https", 443, False),
    ],
)
def test_a_host_admits_itself_alone(host: str, name: str, scheme: str, port: int, is_admitted: bool):
    assert Host.parse(host).admits(name, scheme, port) is is_admitted


def test_names_have_one_spelling():
    assert host_name("ExAmPlE.CoM.") == host_name("example.com") == "example.com"
    assert host_name("127。0。0。1") is None  # dots of another script, which IDNA makes dots of
    assert host_name("①②⑦.0.0.1") is None  # and digits
    assert host_name("") is None


@pytest.mark.parametrize("text", ["http://images.example.com/", "https://images.example.com", "a.example/b"])
def test_an_address_is_no_host(text: str):
    with pytest.raises(ConfigError, match="give the host alone, without http:// or a path"):
        Host.parse(text)


def test_a_policy_opens_nothing_by_itself(tmp_path: Path):
    policy = MediaPolicy()
    assert policy.media_root is None
    assert policy.hosts == ()
    with pytest.raises(ConfigError, match="is no folder"):
        MediaPolicy(media_root=tmp_path / "missing")
    assert replace(policy, max_redirects=0).max_redirects == 0
    for name in ("max_bytes", "total_seconds", "connect_seconds", "max_visuals"):
        with pytest.raises(ConfigError, match=f"{name} must be above 0"):
            replace(policy, **{name: 0})
