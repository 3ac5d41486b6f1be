"""Small pictures of what will be read: a few frames of each medium, as large as the model sees them."""

from __future__ import annotations

import base64
import io
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from oryx.media.focus import AUTO, parse_focus
from oryx.media.image import open_image
from oryx.media.sampling import spread
from oryx.media.video import read_frames
from oryx.processing.forecast import VisualForecast
from oryx.processing.geometry import IMAGE, View
from oryx.processing.headers import read_header
from oryx.processing.pixels import resize
from oryx.web.planning import Plan

MOST_TILES = 12
"""Of all media together."""
CACHE_BYTES = 2**26
_LONGEST_SIDE = 768  # pixels that a page gets of a larger view
_LOSSLESS_PIXELS = 160**2


@dataclass(frozen=True)
class Tile:
    """One view that the model will see."""

    view: View
    address: str
    """Its picture as a data URL."""
    caption: str
    """What it is: a time, a number, a name; "" where there is but one."""
    has_grid: bool = True
    """Whether its ratio is known before the media are read."""


class Pictures:
    """Draws tiles; decoded frames are kept, up to `cache_bytes`, for the next move of a dial."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._num_bytes = 0
        self._lock = Lock()

    def tiles(self, plan: Plan, most: int = MOST_TILES) -> list[list[Tile]]:
        """Tiles of each visual, evenly chosen among its frames, `most` in all (at least one of each).

        Raises:
            MediaError: a picture or a video that cannot be decoded.
        """
        forecasts = plan.forecast.visuals
        shares = share_out([len(visual.views) for visual in forecasts], most)
        return [
            self._of_visual(visual, forecast, share)
            for visual, forecast, share in zip(plan.visuals, forecasts, shares)
            if share
        ]

    def _of_visual(self, visual: Mapping[str, Any], forecast: VisualForecast, share: int) -> list[Tile]:
        header = read_header(visual)
        places = spread(len(forecast.views), share)
        views = [forecast.views[place] for place in places]
        if forecast.layout == IMAGE:
            return self._of_image(header.source, forecast.views)
        clip = header.choose(visual)
        if clip is not None and clip.info is not None:
            indices = [clip.indices[place] for place in places]
            times = [clip.times[place] for place in places] if clip.times else [None] * len(places)
            addresses = self._frames(header.source, indices, views)
            captions = [
                f"frame {index}" if time is None else _clock(time) for index, time in zip(indices, times)
            ]
        else:
            pictures: Any = header.source if clip is None else clip.source
            chosen = places if clip is None else [clip.indices[place] for place in places]
            addresses = [self._picture(pictures[place], view) for place, view in zip(chosen, views)]
            captions = [f"view {place + 1}" for place in chosen]
        is_known = parse_focus(visual.get("focus")) != AUTO
        return [Tile(*of_one, is_known) for of_one in zip(views, addresses, captions)]

    def _of_image(self, source: Any, views: Sequence[View]) -> list[Tile]:
        """The overview and the native view, which it is made from; the large one first."""
        names = ("overview", "native") if len(views) > 1 else ("overview",)
        tiles = [Tile(view, self._picture(source, view), name) for view, name in zip(views, names)]
        return tiles[::-1]

    def _picture(self, source: Any, view: View) -> str:
        key = _key(source, 0, view)
        found = self._find(key)
        return found or self._put(key, as_data_url(resize(open_image(source), view.height, view.width)))

    def _frames(self, source: Any, indices: Sequence[int], views: Sequence[View]) -> list[str]:
        keys = [_key(source, index, view) for index, view in zip(indices, views)]
        found = [self._find(key) for key in keys]
        missing = [place for place, address in enumerate(found) if address is None]
        if missing:
            with closing(read_frames(source, [indices[place] for place in missing])) as frames:
                for place, frame in zip(missing, frames):
                    picture = resize(frame.image, views[place].height, views[place].width)
                    found[place] = self._put(keys[place], as_data_url(picture))
        return [address or "" for address in found]

    def _find(self, key: tuple[Any, ...]) -> str | None:
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    def _put(self, key: tuple[Any, ...], address: str) -> str:
        with self._lock:
            self._num_bytes += len(address) - len(self._cache.pop(key, ""))
            self._cache[key] = address
            while self._num_bytes > self.cache_bytes:
                self._num_bytes -= len(self._cache.popitem(last=False)[1])
        return address


def share_out(counts: Sequence[int], most: int) -> list[int]:
    """How many of each to show: evenly, none more than it has, `most` in all; the first get one at least."""
    shares = [0] * len(counts)
    left = most
    while left and any(share < count for share, count in zip(shares, counts)):
        for place, count in enumerate(counts):
            if left and shares[place] < count:
                shares[place] += 1
                left -= 1
    return shares


def as_data_url(picture: Image.Image) -> str:
    """A picture in a URL: exact where it is small, else as a JPEG of at most `_LONGEST_SIDE` pixels."""
    stream = io.BytesIO()
    if picture.width * picture.height <= _LOSSLESS_PIXELS:
        picture.save(stream, "PNG")
        kind = "png"
    else:
        if max(picture.size) > _LONGEST_SIDE:
            picture = picture.copy()
            picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        picture.save(stream, "JPEG", quality=80)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _key(source: Any, index: int, view: View) -> tuple[Any, ...]:
    stat = Path(source).stat()
    return (str(source), stat.st_size, stat.st_mtime_ns, index, view.height, view.width)


def _clock(seconds: float) -> str:
    """`0:03.2`."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"
