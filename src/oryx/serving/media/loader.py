"""`MediaLoader`: what a request names, as bytes or as a path that may be opened."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from oryx.errors import ConfigError
from oryx.serving.errors import RequestError
from oryx.serving.media.addresses import is_public
from oryx.serving.media.data_url import decode_data_url, is_data_url
from oryx.serving.media.files import read_source, shown
from oryx.serving.media.policy import Kind, MediaPolicy
from oryx.serving.media.room import Room

if TYPE_CHECKING:
    from oryx.serving.media.fetch import IsAllowed, Resolve

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class MediaLoader:
    """Loads media by a policy.

    Args:
        policy: where from, and how much.
        resolve: looks hosts up, instead of the system's resolver.
        is_allowed_address: judges every address before it is connected to. Only tests, which talk to this
            machine, have a reason to give another judge.

    Raises:
        ConfigError: hosts are allowed and what fetches from them is not installed.
    """

    def __init__(
        self,
        policy: MediaPolicy | None = None,
        *,
        resolve: Resolve | None = None,
        is_allowed_address: IsAllowed = is_public,
    ) -> None:
        self.policy = policy or MediaPolicy()
        if self.policy.allowed_hosts and find_spec("httpcore2") is None:
            raise ConfigError("fetching media needs httpcore2: install oryx-mllm[serve], or allow no hosts.")
        self._resolve, self._is_allowed = resolve, is_allowed_address
        self._fetches = asyncio.Semaphore(self.policy.max_fetches)

    async def load(self, source: str, kind: Kind, room: Room | None = None) -> bytes | Path:
        """One medium of a request.

        Args:
            source: a `data:` URL, an `http(s)://` address, a `file://` URL or a path.
            kind: "image" gives bytes; "video" bytes, or the path of a file or a folder of frames; "views" the
                path of a folder.
            room: of the request that it belongs to; None for one of its own.

        Raises:
            RequestError: 400 for what is not allowed or not there, 413 for what is too large.
        """
        room = room or Room(self.policy)
        if not isinstance(source, str) or not source:
            raise _refusal("a medium must be a data: URL, an address or a path, as text.")
        if is_data_url(source):
            data: bytes | Path = await asyncio.to_thread(decode_data_url, source, room)
        elif (match := _SCHEME.match(source)) is not None and match[1].lower() in ("http", "https"):
            data = await self._fetch(source, room)
        elif match is not None and match[1].lower() != "file":
            raise _refusal(f"{shown(source)} has an unknown scheme; allowed are {self._allowed()}.")
        elif self.policy.media_root is None:
            raise _refusal(
                f"{shown(source)} is a file of the server, which opens none to requests; allowed are "
                f"{self._allowed()}.",
                code="file_not_allowed",
            )
        else:
            limits = (self.policy.media_root, self.policy.max_views)
            data = await asyncio.to_thread(read_source, source, kind, *limits, room)
        if isinstance(data, bytes) and kind == "views":
            raise _refusal("views are a folder, or pictures one by one, not a single file.")
        return data

    async def load_all(self, sources: Sequence[tuple[str, Kind]]) -> list[bytes | Path]:
        """All media of a request, in order, side by side; see `load`. The first error ends all of them."""
        if len(sources) > self.policy.max_visuals:
            raise RequestError(
                f"the request has {len(sources)} media; at most {self.policy.max_visuals} are allowed.",
                status=413,
                code="too_many_media",
                param="messages",
            )
        room = Room(self.policy)
        tasks = [asyncio.ensure_future(self.load(source, kind, room)) for source, kind in sources]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, source: str, room: Room) -> bytes:
        if not self.policy.allowed_hosts:
            raise _refusal(
                f"{shown(source)} is not fetched: this server fetches nothing; allowed are "
                f"{self._allowed()}.",
                code="address_not_allowed",
            )
        from oryx.serving.media.fetch import check_address, fetch, look_up

        check_address(source, self.policy)  # before it waits for others
        async with self._fetches:
            return await fetch(source, self.policy, room, self._resolve or look_up, self._is_allowed)

    def _allowed(self) -> str:
        sources = ["data: URLs"]
        if self.policy.allowed_hosts:
            sources.append("addresses of the hosts it knows")
        if self.policy.media_root is not None:
            sources.append("files below its media root")
        return ", ".join(sources)


def _refusal(message: str, code: str = "invalid_media") -> RequestError:
    return RequestError(message, code=code, param="messages")
