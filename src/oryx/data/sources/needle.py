"""Needle records: a question about one or two frames of a long video, by their numbers.

The form is the published one: `video_long`, `idx`, `type`, `question`, `answer`. Each pass puts the frames
that are asked about at other places of the video and writes these places into the question.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from oryx.data.sources.media import Frames, Slice, is_folder, open_video, picture_head
from oryx.errors import ConfigError, MediaError
from oryx.media.image import image_size
from oryx.media.probe import probe_video
from oryx.media.sampling import spread
from oryx.media.video import read_frames
from oryx.media.views import list_views
from oryx.processing.geometry import VIDEO, ResizeRule, frame_view
from oryx.processing.markers import IMAGE_MARKER
from oryx.processing.visuals import EncodedVisual

CAPTION, DIFFERENCE = "caption", "diff"
PLACEHOLDERS = {CAPTION: ("<idx>",), DIFFERENCE: ("<idx1>", "<idx2>")}
"""Where the numbers of the frames stand in the question of each task."""
COMPRESSION = 16
"""Of long videos, unless the source's dials say otherwise."""


def long_video_prompt(question: str, num_frames: int) -> str:
    """The published prompt, word for word."""
    return (
        f"{IMAGE_MARKER}\nThis is a extremely long video with a total of {num_frames} frames sampled from "
        "the video. Please carefully read every given frame in this video, identifying the detailed contents "
        f"in every frame. {question}"
    )


@dataclass(frozen=True)
class Needle:
    """What a needle record holds."""

    video: Any
    """`Frames` or a list of pictures; or a video file, or a folder of frames."""
    targets: tuple[int, ...]
    """Numbers, from 0, of the frames that are asked about."""
    task: str
    """`CAPTION` of one frame, or `DIFFERENCE` of two."""
    question: str
    answer: str
    bounds: tuple[int, int] = (192, 256)
    """Least and most frames that are shown; a shorter video is shown whole, as it is."""
    dials: dict[str, Any] = field(default_factory=dict)
    """Of the visual."""

    def draw(self, key: str, turn: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Visuals and conversations of one pass: see `Record.draw`.

        How many frames there are depends on the record alone, so that its length is known beforehand; where
        the frames that are asked about stand depends on the pass too.
        """
        frames = _open(self.video)
        shown = self.num_shown(len(frames))
        self.check(len(frames))
        indices, places = self.spread(len(frames)), list(self.targets)
        moved: dict[int, int] = {}
        if shown < len(frames):
            places = sorted(random.Random(f"{key} pass {turn}").sample(range(shown), len(self.targets)))
            moved = dict(zip(places, self.targets))
        visual = {"type": "video", "video": frames.pick(indices, moved), **self._dials()}
        return [visual], self._converse(shown, places)

    def num_shown(self, num_frames: int) -> int:
        """Frames that are shown of a video of so many."""
        rng = random.Random(f"{self.targets} {self.question} {self.answer}")
        return min(num_frames, rng.randint(*self.bounds))

    def spread(self, num_frames: int) -> list[int]:
        """Indices of the frames that are shown of a video of so many, but for those that are asked about."""
        return spread(num_frames, self.num_shown(num_frames))

    def check(self, num_frames: int) -> None:
        """Raises ConfigError where a frame that is asked about does not exist."""
        if max(self.targets) >= num_frames:
            raise ConfigError(f"idx is {list(self.targets)}, but the long video has {num_frames} frames.")

    def measured(self, rule: ResizeRule) -> tuple[EncodedVisual, list[dict[str, Any]], int]:
        """For counting: the visual without its patches, the longest conversation, and a margin in tokens.

        The numbers of the frames change with every pass: one of as many digits may take up to one token a
        digit, whichever the tokenizer.
        """
        frames = _open(self.video)
        shown = self.num_shown(len(frames))
        self.check(len(frames))
        dials = self._dials()
        view = frame_view(*frames.size(), rule, dials["compression"], dials.get("max_pixels"))
        widest = max(shown - 1, *self.targets) if shown == len(frames) else shown - 1
        margin = len(self.targets) * len(str(widest)) if shown < len(frames) else 0
        places = [widest] * len(self.targets) if margin else list(self.targets)
        return EncodedVisual(VIDEO, (view,) * shown, None), self._converse(shown, places), margin

    def _dials(self) -> dict[str, Any]:
        return {"compression": COMPRESSION, **self.dials}

    def _converse(self, num_frames: int, places: Sequence[int]) -> list[dict[str, Any]]:
        question = self.question
        for placeholder, place in zip(PLACEHOLDERS[self.task], places):
            question = question.replace(placeholder, str(place))
        return [
            {"from": "human", "value": long_video_prompt(question, num_frames)},
            {"from": "gpt", "value": self.answer},
        ]


def read_needle(
    entry: Mapping[str, Any], video: Any, bounds: tuple[int, int], dials: Mapping[str, Any]
) -> Needle:
    """The needle of a record whose `video_long` was resolved to `video`.

    Raises:
        ConfigError: a key that is missing or holds something else.
    """
    task, idx = entry.get("type"), entry.get("idx")
    if not isinstance(task, str) or task not in PLACEHOLDERS:
        raise ConfigError(f"type is {task!r}; a needle record's is {CAPTION} or {DIFFERENCE}.")
    names = PLACEHOLDERS[task]
    idx = [idx] if isinstance(idx, int) else idx
    are_numbers = isinstance(idx, list) and all(
        isinstance(index, int) and not isinstance(index, bool) and index >= 0 for index in idx
    )
    if not are_numbers or len(idx) != len(names):  # type: ignore[arg-type]
        raise ConfigError(f"idx is {idx!r}; type {task} needs a list of {len(names)} numbers of frames.")
    for key in ("question", "answer"):
        if not isinstance(entry.get(key), str):
            raise ConfigError(f"{key} is {entry.get(key)!r}; it must be a text.")
    for name in names:
        if name not in entry["question"]:
            raise ConfigError(f"the question of type {task} lacks {name}, where a frame's number goes.")
    used = {key: dials[key] for key in ("compression", "max_pixels", "fast_resize") if key in dials}
    return Needle(video, tuple(idx), task, entry["question"], entry["answer"], bounds, used)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Stored:
    """Frames that are pictures of their own."""

    pictures: Sequence[Any]

    def __len__(self) -> int:
        return len(self.pictures)

    def size(self) -> tuple[int, int]:
        return image_size(picture_head(self.pictures[0]))

    def pick(self, indices: Sequence[int], moved: Mapping[int, int]) -> list[Any]:
        """The frames of `indices`, with frame `moved[place]` at each place of `moved`."""
        return [self.pictures[moved.get(place, index)] for place, index in enumerate(indices)]


@dataclass(frozen=True)
class _Film:
    """Frames of a video file."""

    source: Any
    num_frames: int
    height: int
    width: int

    def __len__(self) -> int:
        return self.num_frames

    def size(self) -> tuple[int, int]:
        return self.height, self.width

    def pick(self, indices: Sequence[int], moved: Mapping[int, int]) -> FilmFrames:
        """The same, undecoded."""
        return FilmFrames(self.source, tuple(indices), dict(moved))


@dataclass(frozen=True)
class FilmFrames(Sequence[Image.Image]):
    """Chosen frames of a video file, decoded anew whenever they are gone through, and not kept."""

    source: Any
    indices: tuple[int, ...]
    """Ascending."""
    moved: Mapping[int, int]
    """Place -> index of the frame that stands there instead."""

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[inner] for inner in range(len(self))[place]]
        index = self.moved.get(range(len(self))[place], self.indices[place])
        return next(self._decode([index]))

    def __iter__(self) -> Iterator[Image.Image]:
        # Frames come in the order of the film; the few that stand elsewhere are decoded before.
        early = sorted(set(self.moved.values()))
        kept = dict(zip(early, list(self._decode(early))))
        others = self._decode([i for place, i in enumerate(self.indices) if place not in self.moved])
        with closing(others):
            for place in range(len(self.indices)):
                yield kept[self.moved[place]] if place in self.moved else next(others)

    def _decode(self, indices: list[int]) -> Generator[Image.Image, None, None]:
        if not indices:
            return
        with closing(read_frames(self.source, indices)) as frames:
            for frame in frames:
                yield frame.image


def _open(video: Any) -> _Stored | _Film:
    if is_folder(video):
        return _Stored(list_views(video))
    if isinstance(video, str | bytes | Slice):
        source = open_video(video)
        info = probe_video(source)
        return _Film(source, info.num_frames, info.height, info.width)
    if not isinstance(video, Frames | list) or not video:
        raise MediaError("the long video has no frames; at least one is needed")
    return _Stored(video)
