"""Endless samples of the named skills: `source[i]` depends on the seed and on i alone."""

import math
import random
from collections.abc import Mapping
from typing import Any, Protocol

from oryx.data.synthetic.differences import (
    FrameDifference,
    FrameDifferenceSettings,
    PictureDifference,
    PictureDifferenceSettings,
)
from oryx.data.synthetic.long_videos import FrameAt, FrameAtSettings
from oryx.data.synthetic.needles import Needles, NeedleSettings
from oryx.data.synthetic.pages import Pages, PagesSettings
from oryx.data.synthetic.rooms import Rooms, RoomsSettings
from oryx.data.synthetic.sample import Sample
from oryx.data.synthetic.scenes import ObjectSettings, Scenes, SceneSettings
from oryx.data.synthetic.settings import SkillSettings, did_you_mean, parse_settings
from oryx.data.synthetic.text import Words, WordsSettings
from oryx.data.synthetic.things import Things, ThingsSettings
from oryx.data.synthetic.videos import (
    VideoDirection,
    VideoDirectionSettings,
    VideoOrder,
    VideoOrderSettings,
)
from oryx.errors import ConfigError


class Skill(Protocol):
    """Something that draws samples; its only randomness is the generator it is given.

    One that needs fonts, pictures or rooms also has `materials()`: a JSON value that tells these from others.
    """

    def draw(self, rng: random.Random) -> Sample: ...


# Skill name -> its settings, and what draws it.
SKILLS: dict[str, tuple[type[SkillSettings], Any]] = {
    "words": (WordsSettings, Words),
    "object": (ObjectSettings, Scenes),
    "scene": (SceneSettings, Scenes),
    "pages": (PagesSettings, Pages),
    "things": (ThingsSettings, Things),
    "video_order": (VideoOrderSettings, VideoOrder),
    "video_direction": (VideoDirectionSettings, VideoDirection),
    "needle": (NeedleSettings, Needles),
    "frame_at": (FrameAtSettings, FrameAt),
    "frame_difference": (FrameDifferenceSettings, FrameDifference),
    "picture_difference": (PictureDifferenceSettings, PictureDifference),
    "rooms": (RoomsSettings, Rooms),
}


def vocabulary() -> list[str]:
    """Texts with every word of the skills that state theirs; a tokenizer need not draw samples of them.

    These are the skills whose samples need materials, or hold so many words that a draw would miss some.
    """
    stated = (getattr(drawer, "vocabulary", None) for _, drawer in SKILLS.values())
    return [text for texts in stated if texts is not None for text in texts()]


class Source:
    """An endless sequence of samples, without state: safe to share out to workers, to resume, to pickle."""

    def __init__(self, skills: Mapping[str, tuple[float, Skill]], seed: int) -> None:
        self.seed = seed
        self.skills = dict(skills)
        self._weights = [weight for weight, _ in self.skills.values()]
        self._drawers = [skill for _, skill in self.skills.values()]

    def materials(self) -> dict[str, Any]:
        """Skill -> what tells the materials it draws with from others, of the skills that need any."""
        found = {name: getattr(skill, "materials", None) for name, (_, skill) in self.skills.items()}
        return {name: materials() for name, materials in found.items() if materials is not None}

    def __getitem__(self, index: int) -> Sample:
        """Sample `index` (0 or more), of a skill chosen by weight."""
        if index < 0:
            raise IndexError(f"A source has no end to count from: index {index} must be 0 or more.")
        rng = random.Random(f"{self.seed} {index}")  # text, so that all its bits are mixed into the state
        return rng.choices(self._drawers, self._weights)[0].draw(rng)


def make_source(skills: Mapping[str, Mapping[str, Any]], seed: int) -> Source:
    """A source from skill name -> {"weight": float, ...the skill's settings}, as a recipe gives them.

    The weights are relative, and 1 where left out. Raises `ConfigError` for an unknown skill or setting
    (naming the nearest known), a value out of range, or fonts that are not installed.
    """
    if not skills:
        raise ConfigError(f"A source needs at least one skill of: {', '.join(SKILLS)}.")
    made: dict[str, tuple[float, Skill]] = {}
    for name, given in skills.items():
        if name not in SKILLS:
            raise ConfigError(f"Unknown skill {name!r}{did_you_mean(name, SKILLS)}.")
        settings = dict(given)
        weight = settings.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise ConfigError(f"Skill {name!r}: weight is {weight!r}; it must be a finite number above 0.")
        settings_type, drawer = SKILLS[name]
        made[name] = (float(weight), drawer(parse_settings(settings_type, name, settings)))
    return Source(made, seed)
