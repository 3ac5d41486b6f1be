"""One training conversation of a source, its media named but not yet opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oryx.data.sources.media import Frames, is_folder, open_picture, open_video, picture_head
from oryx.data.sources.needle import Needle
from oryx.errors import ConfigError
from oryx.media.focus import Focus, parse_focus
from oryx.media.sampling import spread, spread_focused
from oryx.media.views import list_views
from oryx.processing.visuals import FEW_FRAMES, visual_type

MEDIA_KEYS = ("image", "video", "views", "path", "url", "image_url", "input_image", "video_url")
"""Keys of a visual dict that name media."""


@dataclass(frozen=True)
class Record:
    """One training conversation. A needle record becomes one when it is drawn."""

    place: str
    """File and number, for error sentences."""
    visuals: list[dict[str, Any]]
    """Visual dicts of `encode_conversation`; media are paths, bytes, `Slice` or `Frames`."""
    conversations: list[dict[str, Any]]
    """Turns of {"from", "value"}."""
    id: Any = None
    """What the data calls it, if it does."""
    channel_order: str = "rgb"
    """Of its stored pictures."""
    needle: Needle | None = None
    """Set instead of visuals and conversations."""
    beside: dict[str, Any] = field(default_factory=dict)
    """What else the data says of it; only copies of the data need it."""

    def draw(self, key: str, turn: int) -> Record:
        """The conversation of one pass over the data; only needle records differ from pass to pass.

        Args:
            key: tells this record from all others, in this run and in every repetition of it.
            turn: number of the pass.

        Raises:
            MediaError: a long video that cannot be read.
        """
        if self.needle is None:
            return self
        visuals, conversations = self.needle.draw(key, turn)
        return replace(self, visuals=visuals, conversations=conversations, needle=None)

    def opened(self) -> list[dict[str, Any]]:
        """Visuals that `encode_conversation` takes: stretches of files are read, stored frames chosen.

        Raises:
            ConfigError, MediaError: an unknown kind of visual, or a stretch that cannot be read.
        """
        return [self._open(visual, heads=False) for visual in self.visuals]

    def opened_heads(self) -> list[dict[str, Any]]:
        """The same for counting: of stored pictures only as much is read as tells their size."""
        return [self._open(visual, heads=True) for visual in self.visuals]

    def _open(self, visual: dict[str, Any], heads: bool) -> dict[str, Any]:
        def picture(item: Any) -> Any:
            return picture_head(item) if heads else open_picture(item, self.channel_order)

        kind = visual_type(visual)
        opened = dict(visual)
        for key in MEDIA_KEYS:
            source = visual.get(key)
            if source is None:
                continue
            if kind != "image" and self.channel_order != "rgb" and is_folder(source):
                source = Frames(list_views(source))  # whose pictures are swapped one by one
            if isinstance(source, Frames):
                chosen = range(len(source)) if kind == "views" else _choose(len(source), visual)
                opened[key] = [picture(source[index]) for index in chosen]
                if kind != "views" and (focus := _spans(visual)) is not None:
                    inside = focus.mask(None, len(source))
                    places = [str(place) for place, index in enumerate(chosen) if inside[index]]
                    opened["focus"] = ",".join(places)
            elif isinstance(source, list):
                opened[key] = [picture(item) for item in source]
            elif kind == "image":
                opened[key] = picture(source)
            else:
                opened[key] = open_video(source)
        return opened


def _choose(num_frames: int, visual: dict[str, Any]) -> Sequence[int]:
    """The frames that the dials choose, by the rule for folders of frames."""
    if visual.get("fps") is not None:
        raise ConfigError("fps needs a video file: stored frames have no times.")
    most = visual.get("max_frames")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise ConfigError(f"max_frames must be a whole number of at least 1, not {most!r}.")
    if (focus := _spans(visual)) is not None:
        return spread_focused(focus.mask(None, num_frames), most or FEW_FRAMES)
    return spread(num_frames, most or FEW_FRAMES)


def _spans(visual: dict[str, Any]) -> Focus | None:
    """A focus that names frames; one that is to be found keeps its meaning for the chosen ones."""
    focus = parse_focus(visual.get("focus"))
    return focus if isinstance(focus, Focus) else None
