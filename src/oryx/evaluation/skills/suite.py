"""The tests of the nano skill suite: what each asks, and how its samples are drawn.

Everything a test draws depends on its seed alone. Training uses seeds below `FIRST_TEST_SEED`, tests that and
above, so no sample was ever trained on. Questions come in all their wordings, as in training.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oryx.data.pictures import PictureStore
from oryx.data.synthetic import Source, make_source
from oryx.data.synthetic.settings import FIRST_TEST_SEED, did_you_mean
from oryx.errors import ConfigError
from oryx.evaluation.metrics import events_named, exact_score
from oryx.processing.geometry import check_compression

_VIDEO_SKILLS = ("video_order", "video_direction", "needle", "frame_at", "frame_difference")
_FONT_SKILLS = ("words", "pages")
_THINGS = "things"


@dataclass(frozen=True)
class SkillTest:
    """One test: what it asks, and the `make_source` settings that draw it."""

    about: str
    skills: Mapping[str, Mapping[str, Any]]
    max_new_tokens: int = 24
    """More than any right answer needs."""
    score: Callable[[str, str], float] = exact_score
    """(answer, expected) -> 0 to 1; the accuracy is its mean."""

    @property
    def needs_pictures(self) -> bool:
        """Whether its samples show pictures of a store."""
        return _THINGS in self.skills


def _words(fonts: str) -> dict[str, dict[str, Any]]:
    return {"words": {"fonts": fonts, "words": "dictionary", "word_split": "test", "letters": (3, 6)}}


def _ask(skill: str, *questions: str, **settings: Any) -> dict[str, dict[str, Any]]:
    return {skill: {"questions": questions, "turns": 1, **settings}}


def _lines(*questions: str, **settings: Any) -> dict[str, dict[str, Any]]:
    drawn = {"fonts": "test", "words": "dictionary", "word_split": "test", "letters": (3, 6)}
    return _ask("pages", *questions, words_per_line=(2, 4), **drawn, **settings)


_FRAMES = (4, 32)

TESTS: dict[str, SkillTest] = {
    "words": SkillTest("Reads a word never trained on, in a font never trained on.", _words("test")),
    "words_trained_fonts": SkillTest("Reads a word never trained on, in a trained font.", _words("train")),
    "lines": SkillTest(
        "Reads one line of 2 to 4 words never trained on, out of 2 or 3, in a font never trained on.",
        _lines("line", "first_line", "last_line", num_lines=(2, 3)),
        max_new_tokens=48,
    ),
    "page": SkillTest(
        "Reads all of a page of 1 to 3 such lines; right only if all of it is.",
        _lines("page", num_lines=(1, 3)),
        max_new_tokens=128,
    ),
    "things_known": SkillTest(
        "Names a thing from a picture never trained on, in a style trained on.",
        _ask(_THINGS, "name", num_things=1, split="test"),
    ),
    "things_new_style": SkillTest(
        "Names a thing from a picture in a style never trained on.",
        _ask(_THINGS, "name", num_things=1, split="new_style"),
    ),
    "color": SkillTest("Names the color of one object.", _ask("object", "color")),
    "shape": SkillTest("Names the shape of one object.", _ask("object", "shape")),
    "place": SkillTest(
        "Says where an object is: one that is alone, or one of 2 to 4.",
        {**_ask("object", "where"), **_ask("scene", "where", num_objects=(2, 4))},
    ),
    "what_at": SkillTest(
        "Names the object at a place, of 1 to 4.", _ask("scene", "what_at", num_objects=(1, 4))
    ),
    "count": SkillTest(
        "Counts 1 to 6 objects, or those of one color, which may be none.",
        _ask("scene", "count", "count_color", num_objects=(1, 6)),
    ),
    "describe": SkillTest(
        "Names 1 to 4 objects with their places; right only if all of it is.",
        _ask("scene", "describe", num_objects=(1, 4)),
        max_new_tokens=96,
    ),
    "video_first_last": SkillTest(
        "Says what comes first or last in a video of 2 to 4 objects.",
        _ask("video_order", "first", "last", num_frames=_FRAMES),
    ),
    "video_after": SkillTest(
        "Says what comes after a named object in a video of 2 to 4.",
        _ask("video_order", "after", num_frames=_FRAMES),
    ),
    "video_describe": SkillTest(
        "Tells the 2 to 5 events of a video; the share of events named in their order counts.",
        _ask("video_order", "describe", num_frames=(5, 32), num_events=(2, 5)),
        max_new_tokens=96,
        score=events_named,
    ),
    "video_direction": SkillTest(
        "Says which way an object moves.", _ask("video_direction", "direction", num_frames=_FRAMES)
    ),
    "frame_at": SkillTest(
        "Names the object in frame i of 8 to 32, each frame another.",
        _ask("frame_at", "object", num_frames=(8, 32), run_length=1),
    ),
    "frame_difference": SkillTest(
        "Says how two frames of a video of 2 to 16 differ, if at all.",
        {"frame_difference": {"num_frames": (2, 16), "turns": 1}},
        max_new_tokens=32,
    ),
    "picture_difference": SkillTest(
        "Says how two pictures differ, if at all.", {"picture_difference": {"turns": 1}}, max_new_tokens=32
    ),
    "needle_100": SkillTest(
        "Says which object is in one frame of 100, or the color or the shape of one of 1 to 3 that are.",
        {"needle": {"num_frames": 100, "turns": 1}},
    ),
}

# The dial is shown on what needs detail and on what does not.
SWEEP_TESTS = ("words", "color")
SWEEP_RATIOS = (1, 2, 4, 16)
SWEEP_PIXELS = (512, 1024, 2048, 4096)


def drawable_tests(pictures: str | None) -> list[str]:
    """All tests, without those that need pictures if there are none."""
    return [name for name, test in TESTS.items() if pictures is not None or not test.needs_pictures]


def make_test_source(
    name: str,
    seed: int = FIRST_TEST_SEED,
    compression: int | None = None,
    detail: str | None = None,
    font_folders: Sequence[str] = (),
    pictures: str | None = None,
) -> Source:
    """The samples of one test; arguments and errors are those of `evaluate_skills`.

    Samples carry no marks, which are for training. The dial changes nothing else about them.
    """
    if name not in TESTS:
        raise ConfigError(f"Unknown test {name!r}{did_you_mean(name, TESTS)}.")
    if seed < FIRST_TEST_SEED:
        raise ConfigError(
            f"seed is {seed}; it must be at least {FIRST_TEST_SEED}: those below are for training."
        )
    if compression is not None:
        check_compression(compression)
    if detail not in (None, "high", "low"):
        raise ConfigError(f"detail is {detail!r}; allowed: high, low.")
    if pictures is None and TESTS[name].needs_pictures:
        raise ConfigError(
            f"Test {name!r} needs pictures: make a store with `oryx data pictures OUT --from FOLDER` and "
            "give it with --pictures OUT."
        )
    if pictures is not None and TESTS[name].needs_pictures:
        _check_whole(PictureStore(pictures))
    skills = {}
    for skill, settings in TESTS[name].skills.items():
        own = {**settings, "marks": False}
        if compression is not None:
            own["compression"] = [compression]
        if detail is not None and skill not in _VIDEO_SKILLS:
            own["detail"] = [detail]
        if skill in _FONT_SKILLS:
            own["font_folders"] = list(font_folders)
        if skill == _THINGS:
            own["pictures"] = pictures
        skills[skill] = own
    # A seed of its own, so that tests do not all draw on the same canvases.
    return make_source(skills, seed + zlib.crc32(name.encode()))


def _check_whole(store: PictureStore) -> None:
    """Refuse a store that holds out other pictures than the one that models are trained on."""
    if store.missing:
        raise ConfigError(
            f"{store.path} lacks the pictures of {', '.join(store.missing)}; which ones are held out depends "
            "on all, so tests need a store made without --partial."
        )
