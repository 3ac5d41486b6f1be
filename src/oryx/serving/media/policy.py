"""What media a server takes: from where, and how much."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from oryx.errors import ConfigError

Kind = Literal["image", "video", "views"]
PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True)
class Host:
    """A host that media may come from."""

    name: str
    """As `host_name` spells it; after "*." any host below it, but not itself."""
    port: int | None = None
    """The only one; None for 80 (http) and 443 (https)."""

    @classmethod
    def parse(cls, text: str) -> Host:
        """ "example.com", "example.com:8443" or "*.example.com".

        Raises:
            ConfigError: anything else, such as an address with a scheme or a path.
        """
        if "/" in text:
            example = text.partition("://")[2].partition("/")[0] or "images.example.com"
            raise ConfigError(
                f"the allowed host {text!r} is an address; give the host alone, without http:// or a path, "
                f"as in {example}."
            )
        wildcard, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
        name, colon, port = rest.partition(":")
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
        if colon and not 1 <= number <= 65535:
            raise ConfigError(f"the port of the allowed host {text!r} must be a number from 1 to 65535.")
        known = host_name(name)
        if known is None:
            raise ConfigError(f'{text!r} is no host name; give one such as "example.com" or "*.example.com".')
        return cls(wildcard + known, number or None)

    def admits(self, name: str, scheme: str, port: int) -> bool:
        """Whether a host, spelled as `host_name` does, is this one at an allowed port."""
        if self.name.startswith("*."):
            is_named = name.endswith(self.name[1:])
        else:
            is_named = name == self.name
        return is_named and port == (self.port or PORTS[scheme])


@dataclass(frozen=True)
class MediaPolicy:
    """Where media may come from, and how much of them. By default only from the request itself."""

    media_root: Path | None = None
    """Files and folders below it may be named by `file://` and by path; None for none."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts of `http(s)://` addresses, redirects included; see `Host.parse`."""
    max_bytes: int = 64 * 2**20
    """Of one picture or video that is held in memory: sent, fetched, or a picture below the root. A video
    below the root is read where it lies."""
    max_total_bytes: int = 256 * 2**20
    """Of all media of a request that are held in memory."""
    max_visuals: int = 64
    """Pictures, videos and views of a request."""
    max_views: int = 256
    """Pictures in a folder of views."""
    max_redirects: int = 3
    connect_seconds: float = 5.0
    """To look a host up and to connect to it, each time."""
    total_seconds: float = 30.0
    """From the first look-up to the last byte of one medium."""
    max_fetches: int = 8
    """Downloads at a time, over all requests; more wait."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value <= (-1 if field.name == "max_redirects" else 0):
                raise ConfigError(f"{field.name} must be above 0, not {value!r}.")
        if self.media_root is not None and not self.media_root.is_dir():
            raise ConfigError(f"the media root {self.media_root} is no folder.")
        for host in self.allowed_hosts:
            Host.parse(host)

    @property
    def hosts(self) -> tuple[Host, ...]:
        return tuple(Host.parse(host) for host in self.allowed_hosts)


def host_name(text: str) -> str | None:
    """A host's name in the one spelling that is compared: ASCII, lower case, no dot at the end.

    None for what is no name: an address (in any spelling, "127.1" and "0x7f000001" too), a name with empty or
    overlong parts, or with characters that no host has.
    """
    try:
        name = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return None
    # What the system would take for a number, it would take for an address.
    last = labels[-1]
    return None if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) else ".".join(labels)
