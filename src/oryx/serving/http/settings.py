"""What the server allows, to whom and how much; every value has a safe default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from ipaddress import ip_address

from oryx.errors import ConfigError

MIB = 2**20
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Limits:
    """How much of anything at a time. None is no limit of the server's own."""

    max_body: int = 64 * MIB
    """Bytes of one request, uploads included."""
    max_held: int = 1024 * MIB
    """Bytes of the bodies of all requests that are in the server. Small ones (64 KiB) are always taken."""
    max_connections: int = 512
    header_seconds: float = 10.0
    """Until the headers of a request are whole."""
    body_seconds: float = 20.0
    """Until its body is whole, and a second more for each `BYTES_A_SECOND` of it."""
    send_seconds: float = 30.0
    """A client that has not read what it was sent after so long has left."""
    max_images: int = 64
    """Pictures of one request, views included."""
    max_videos: int = 8
    max_prompt_tokens: int | None = None
    """Positions of a prompt, visual tokens included."""
    max_output_tokens: int | None = None
    """What a request may ask for."""
    max_places: int = 16
    """Requests that are encoded or answered at a time."""
    max_queue: int = 64
    """Requests that wait for a place."""
    queue_seconds: float = 60.0
    """How long one waits before it is sent away."""
    drain_seconds: float = 30.0
    """For answers to be finished when the server ends."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            least = 0 if limit.name in ("max_images", "max_videos", "max_queue", "drain_seconds") else 1
            too_low = value is not None and (
                value <= 0 if "seconds" in limit.name and least else value < least
            )
            if too_low or value == float("inf") or value != value:
                name = "--" + limit.name.replace("_", "-")
                raise ConfigError(
                    f"{name} is {value}; it must be {'at least 0' if not least else 'above 0'}."
                )


BYTES_A_SECOND = 64 * 1024
"""How fast a body must come at least."""


@dataclass(frozen=True)
class Access:
    """Who may ask."""

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """Any of them opens the server; none: it is open."""
    server_names: frozenset[str] | None = frozenset(LOOPBACK_NAMES)
    """Names in a request's Host header; None for any. Against pages that rebind a name to loopback."""
    origins: tuple[str, ...] = ()
    """Web pages that may use the server from a browser, such as https://example.org; "*" for all."""


def access_for(
    host: str,
    api_keys: Sequence[str] = (),
    no_auth: bool = False,
    server_names: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> Access:
    """The access that fits an address to bind to.

    Raises:
        ConfigError: an address that others reach without a key, a key or an origin of another form.
    """
    for key in api_keys:
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError("an API key must be of printable ASCII characters without spaces.")
    if no_auth and api_keys:
        raise ConfigError("--no-auth and an API key exclude each other.")
    if not is_loopback(host) and not api_keys and not no_auth:
        raise ConfigError(
            f"{host} can be reached from other machines: give --api-key-file, or say --no-auth if everybody "
            "who reaches it may use it."
        )
    for origin in origins:
        scheme, _, rest = origin.partition("://")
        if origin != "*" and (scheme not in ("http", "https") or not rest or set(rest) & set("/?#@ ")):
            raise ConfigError(
                f'--allow-origin is {origin!r}; it must be as in https://example.org:8443, or "*".'
            )
    names = {normal_host(name) for name in server_names}
    if is_loopback(host):
        return Access(
            tuple(api_keys), frozenset({*LOOPBACK_NAMES, normal_host(host), *names}), tuple(origins)
        )
    # Behind a name of its own the server cannot know what clients call it.
    return Access(tuple(api_keys), frozenset(names) if names else None, tuple(origins))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to `host`. Other names than localhost count as open."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def normal_host(header: str) -> str:
    """The name in a Host header, in lower case, without port, brackets and final dot."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    if name.count(":") == 1:
        name = name.partition(":")[0]
    return name.rstrip(".")
