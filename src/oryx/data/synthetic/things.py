"""The skill `things`: name common things from their pictures, and say which are there, where and how many."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from oryx.data.pictures import Picture, PictureStore, ThingName, load_names
from oryx.data.pictures.store import SPLITS
from oryx.data.synthetic.collage import Placed, apart, choose_background, paste_thing, recoloured, thing_marks
from oryx.data.synthetic.questions import PLACES, Question, all_wordings, choose_turns, listed
from oryx.data.synthetic.sample import Sample, between, converse, image_visual, whole_between
from oryx.data.synthetic.scenes import place_at, place_center
from oryx.data.synthetic.settings import (
    SkillSettings,
    check_described,
    did_you_mean,
    number,
    one_of,
    real_range,
    some_of,
    texts,
    whole_range,
)
from oryx.errors import ConfigError

THING_KINDS = ("name", "is_there", "what_at", "where", "count", "describe")

_MOST_OF_SEVERAL = 0.48  # of the shorter side: each of several things has a quarter or the middle to itself


@dataclass(frozen=True, kw_only=True)
class ThingsSettings(SkillSettings):
    """Settings of `things`."""

    pictures: str = "pictures"
    """The store: what `oryx data pictures` made."""
    split: str = one_of(*SPLITS)
    """Pictures to train on, held-out pictures in the same styles, or a style that is never trained on."""
    styles: tuple[str, ...] = texts()
    """Only pictures of these styles; all of the split where empty."""
    favoured_styles: tuple[str, ...] = texts()
    """Styles whose pictures vary more than those of others, such as clip art."""
    favoured: float = number(0.0, 1.0, 0.0)
    """Share of the things drawn in these styles alone, where they have one; the rest in all styles."""
    names: tuple[str, ...] = texts()
    """Only these things; all where empty."""
    num_names: int = number(1, 10_000, 10_000)
    """Only the first so many of these things, in an order that mixes the topics and never changes."""
    canvas: tuple[int, int] = whole_range(24, 4096, (48, 112))
    """Sides of the picture in pixels; height and width are drawn apart."""
    num_things: tuple[int, int] = whole_range(1, len(PLACES), (1, 3))
    """Things per picture, all different; one that finds no room is left out."""
    thing_size: tuple[float, float] = real_range(0.1, 0.98, (0.35, 0.95))
    """Longer side of a thing as a share of the picture's shorter side; of several, less than half."""
    min_thing: int = number(8, 512, 20)
    """No thing's longer side is less than so many pixels."""
    rotation: float = number(0.0, 45.0, 10.0)
    """A thing is turned by up to so many degrees either way."""
    stretch: float = number(0.0, 0.5, 0.15)
    """Either side of a thing is shortened by up to this share."""
    jitter: float = number(0.0, 1.0, 0.3)
    """How much brightness, contrast and colour of a thing vary."""
    mirrored: float = number(0.0, 1.0, 0.5)
    """Share of the things that are mirrored, of those that this does not change."""
    shadow: float = number(0.0, 1.0, 0.3)
    """Share of the things that throw a shadow."""
    background: str = one_of("varied", "plain", "white")
    """White; one flat grey, white or black; or also tints, gradients, noise and stripes."""
    questions: tuple[str, ...] = some_of(THING_KINDS)
    """Kinds of questions that may be asked."""
    turns: tuple[int, int] = whole_range(1, 16, (1, 3))
    """Questions per sample; fewer where the picture does not give as many."""
    described: float = number(0.0, 1.0, 1.0)
    """Share of the samples that may ask for a description, by far the longest answer."""
    detail: tuple[str, ...] = some_of(("high", "low"), ("high",))
    """Detail of the image, each sample draws one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_thing > self.canvas[0] - 4:
            raise ConfigError(
                f"Setting 'min_thing' is {self.min_thing}; it must be at most {self.canvas[0] - 4}, "
                "the smallest canvas side less 4."
            )
        if self.favoured and not self.favoured_styles:
            raise ConfigError("Setting 'favoured' is set, but 'favoured_styles' names no style.")
        check_described(self.described, self.questions)


class Things:
    """Draws samples of `things`.

    Raises `ConfigError` when made if there is no store, or if nothing in it is left by the settings.
    """

    def __init__(self, settings: ThingsSettings) -> None:
        self.settings = s = settings
        self.store = PictureStore(s.pictures)
        known = load_names()
        for setting in ("styles", "favoured_styles"):
            for style in getattr(s, setting):
                if style not in self.store.styles:
                    raise ConfigError(
                        f"Setting {setting!r} names {style!r}{did_you_mean(style, self.store.styles)}."
                    )
        for name in s.names:
            if name not in known:
                raise ConfigError(f"Setting 'names' names {name!r}{did_you_mean(name, known)}.")
        pictures = self.store.select(s.split, s.styles, s.names)
        mixed = sorted(pictures.keys() & known.keys(), key=lambda name: random.Random(name).random())
        self.names = [known[name] for name in mixed[: s.num_names]]
        self.pictures = {thing.name: pictures[thing.name] for thing in self.names}
        if not self.names:
            raise ConfigError(f"{self.store.path} has no {s.split!r} picture of these styles and names.")
        self.favoured = {
            name: chosen
            for name, pictures in self.pictures.items()
            if (chosen := tuple(picture for picture in pictures if picture.style in s.favoured_styles))
        }

    def materials(self) -> list[str]:
        """The pictures."""
        return [picture.source for pictures in self.pictures.values() for picture in pictures]

    @staticmethod
    def vocabulary() -> list[str]:
        """Texts that hold every word it may use, so that a tokenizer knows each; no store is needed."""
        texts = [text for key in ("thing", "count_things", "describe") for text in all_wordings(key)]
        texts += [text for place in PLACES for text in all_wordings("what_at", place=place)]
        texts += [listed([f"a cat at the {place}" for place in PLACES]), "some bread and an apple"]
        for thing in load_names().values():
            there, where = _keys(thing)
            texts += all_wordings(there, phrase=thing.phrase) + all_wordings(where, name=thing.name)
        return texts

    def draw(self, rng: random.Random) -> Sample:
        """One picture of things that never touch, and some questions that have one right answer in it."""
        s = self.settings
        turns: list[tuple[str, str]] = []
        for attempt in range(8):  # a drawing may leave none of the asked kinds with one right answer
            height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
            count = min(1 if attempt == 7 else whole_between(rng, s.num_things), len(self.names))
            chosen = [(thing, self._picture(rng, thing)) for thing in rng.sample(self.names, count)]
            background = choose_background(rng, s.background, [picture.ink for _, picture in chosen])
            placed = self._arrange(rng, chosen, height, width, clear=attempt == 7)
            turns = choose_turns(
                rng, self._candidates(rng, placed, height, width), whole_between(rng, s.turns), s.wordings
            )
            if turns:
                break
        image = background.paint(rng, height, width)
        for item in placed:
            paste_thing(image, item, s.shadow > 0 and rng.random() < s.shadow)
        marks = thing_marks(rng, placed, height, width) if s.marks else None
        visual = image_visual(image, rng.choice(s.compression), rng.choice(s.detail), marks)
        return Sample("things", [visual], converse(rng, turns, s.joined))

    def _picture(self, rng: random.Random, thing: ThingName) -> Picture:
        favoured = self.favoured.get(thing.name)
        if favoured and rng.random() < self.settings.favoured:
            return rng.choice(favoured)
        return rng.choice(self.pictures[thing.name])

    def _arrange(
        self,
        rng: random.Random,
        chosen: Sequence[tuple[ThingName, Picture]],
        height: int,
        width: int,
        clear: bool,
    ) -> list[Placed]:
        """The things where they do not meet: one that is alone anywhere, several in named places."""
        s = self.settings
        side, alone = min(height, width), len(chosen) == 1
        most = s.thing_size[1] if alone else min(s.thing_size[1], _MOST_OF_SEVERAL)
        least = min(s.thing_size[0], most)
        placed: list[Placed] = []
        for (thing, picture), place in zip(chosen, rng.sample(PLACES, len(chosen)), strict=True):
            size = min(side - 4, max(s.min_thing, round(between(rng, (least, most)) * side)))
            image = self._drawn(rng, thing, picture, size)
            for _ in range(8):
                if alone and not clear:
                    room_y, room_x = (height - image.height) / 2 - 1, (width - image.width) / 2 - 1
                    y, x = height / 2 + rng.uniform(-1, 1) * room_y, width / 2 + rng.uniform(-1, 1) * room_x
                else:
                    y, x = place_center(rng, place, height, width, max(image.size))
                item = Placed(thing, image, y, x)
                if all(apart(item, other) for other in placed):
                    placed.append(item)
                    break
                if max(image.size) * 0.9 < s.min_thing:
                    break
                image = image.resize((max(1, int(image.width * 0.9)), max(1, int(image.height * 0.9))))
        return placed

    def _drawn(self, rng: random.Random, thing: ThingName, picture: Picture, size: int) -> Image.Image:
        """The picture varied as the settings ask, its longer side `size` pixels."""
        s = self.settings
        image = self.store.image(picture)
        if thing.mirror and rng.random() < s.mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        height, width = (side * (1 - s.stretch * rng.random()) for side in (image.height, image.width))
        angle = rng.uniform(-s.rotation, s.rotation) if s.rotation else 0.0
        scale = size / max(height, width)
        image = image.resize(
            (max(1, round(width * scale)), max(1, round(height * scale))),
            Image.Resampling.BICUBIC,
            reducing_gap=2,
        )
        if angle:
            image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
            image.thumbnail((size, size), Image.Resampling.BILINEAR)
        return recoloured(rng, image, s.jitter) if s.jitter else image

    def _candidates(
        self, rng: random.Random, placed: Sequence[Placed], height: int, width: int
    ) -> dict[str, list[Question]]:
        """Kind -> questions with one right answer in this picture."""
        s = self.settings
        asked: dict[str, list[Question]] = {kind: [] for kind in THING_KINDS}
        places = [place_at(item.y / height, item.x / width) for item in placed]
        for item, place in zip(placed, places, strict=True):
            if len(placed) == 1:
                asked["name"].append(("thing", {}, item.thing.phrase))
            if place is not None:  # no two are in one place
                asked["what_at"].append(("what_at", {"place": place}, item.thing.phrase))
                asked["where"].append((_keys(item.thing)[1], {"name": item.thing.name}, place))
        there = rng.choice(placed).thing
        asked["is_there"].append((_keys(there)[0], {"phrase": there.phrase}, "yes"))
        seen = {item.thing.name for item in placed}
        for _ in range(4):
            absent = rng.choice(self.names)
            if absent.name not in seen:
                asked["is_there"].append((_keys(absent)[0], {"phrase": absent.phrase}, "no"))
                break
        asked["count"].append(("count_things", {}, str(len(placed))))
        if None not in places and (s.described == 1 or rng.random() < s.described):
            ordered = sorted(zip(places, placed, strict=True), key=lambda pair: PLACES.index(pair[0] or ""))
            phrases = [f"{item.thing.phrase} at the {place}" for place, item in ordered]
            asked["describe"].append(("describe", {}, listed(phrases)))
        return {kind: asked[kind] for kind in s.questions}


def _keys(thing: ThingName) -> tuple[str, str]:
    """Keys of the wordings that ask whether it is there, and where."""
    return ("are_there", "where_things") if thing.number == "plural" else ("is_there", "where_thing")
