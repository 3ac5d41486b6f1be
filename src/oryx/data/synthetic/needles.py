"""The skill `needle`: find the one frame, or the few, of a long video that the question is about."""

import random
from dataclasses import dataclass

from oryx.data.marks import Mark
from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.data.synthetic.haystack import NEEDLE_KINDS, Haystack, draw_needle_frame, needle_questions
from oryx.data.synthetic.long_videos import object_marks
from oryx.data.synthetic.questions import choose_turns, tell_frames
from oryx.data.synthetic.sample import Sample, converse, video_visual, whole_between
from oryx.data.synthetic.settings import RATIOS, SkillSettings, number, some_of, whole_range
from oryx.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class NeedleSettings(SkillSettings):
    """Settings of `needle`: a few frames that show an object, somewhere in a long video of muted clutter."""

    compression: tuple[int, ...] = some_of(RATIOS, (16,))
    canvas: tuple[int, int] = whole_range(24, 512, (32, 48))
    """Sides of the frames in pixels; height and width are drawn apart. Sides that the model's resize rule
    leaves alone are the fastest."""
    num_frames: tuple[int, int] = whole_range(1, 2048, (16, 48))
    """Frames per video, the needles among them."""
    num_needles: tuple[int, int] = whole_range(1, 6, (1, 3))
    """Needles per video, one frame each; no two share a colour or a shape."""
    colors: tuple[str, ...] = some_of(COLORS)
    """Names of the needles' colours in use."""
    shapes: tuple[str, ...] = some_of(SHAPES)
    """Names of the needles' shapes in use."""
    questions: tuple[str, ...] = some_of(NEEDLE_KINDS)
    """Kinds of questions that may be asked; which object it is, only where there is one needle."""
    turns: tuple[int, int] = whole_range(1, 16, (1, 3))
    """Questions per sample; fewer where the needles do not give as many."""
    counted: float = number(0.0, 1.0, 0.5)
    """Share of the samples whose first question says how many frames there are."""
    empty_marks: int = number(0, 64, 4)
    """Frames without a needle that are marked as empty."""

    def __post_init__(self) -> None:
        super().__post_init__()
        most = min(self.num_frames[0], len(self.colors), len(self.shapes))
        if self.num_needles[1] > most:
            raise ConfigError(
                f"Setting 'num_needles' is {self.num_needles!r}; it must not exceed {most}, the least of the "
                "fewest frames and the numbers of colours and shapes."
            )
        if self.questions == ("object",) and self.num_needles != (1, 1):
            raise ConfigError(
                f"Setting 'num_needles' is {self.num_needles!r}; with no question but object it must be 1."
            )


class Needles:
    """Draws samples of `needle`."""

    def __init__(self, settings: NeedleSettings) -> None:
        self.settings = settings

    def draw(self, rng: random.Random) -> Sample:
        """One long video, needles at places drawn with equal chance, and questions about them."""
        s = self.settings
        height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
        num_frames, num_needles = whole_between(rng, s.num_frames), whole_between(rng, s.num_needles)
        haystack = Haystack(rng.getrandbits(64), height, width)
        frames = [haystack.frame(index) for index in range(num_frames)]
        places = rng.sample(range(num_frames), num_needles)
        things, marks = [], []
        named = zip(rng.sample(s.colors, num_needles), rng.sample(s.shapes, num_needles), strict=True)
        for place, (color, shape) in zip(places, named, strict=True):
            frames[place], thing = draw_needle_frame(rng, color, shape, height, width)
            things.append(thing)
            if s.marks:
                marks += object_marks(rng, thing, (thing.color, thing.shape), height, width, place)
        if s.marks:
            empty = rng.sample(range(num_frames), min(num_frames, s.empty_marks))
            marks += [Mark(view, rng.random(), rng.random(), ".") for view in empty if view not in places]
        questions = needle_questions(things)
        candidates = {kind: questions[kind] for kind in s.questions}
        turns = choose_turns(rng, candidates, whole_between(rng, s.turns), s.wordings)
        if rng.random() < s.counted:
            turns[0] = tell_frames(rng, turns[0][0], num_frames, s.wordings), turns[0][1]
        visual = video_visual(frames, rng.choice(s.compression), marks if s.marks else None)
        return Sample("needle", [visual], converse(rng, turns, s.joined))
