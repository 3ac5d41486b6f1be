"""The arms: every training, and what is measured of it."""

from __future__ import annotations

from typing import cast

from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.evaluation.claims.arms import NANO, Arm, Measure, Part
from oryx.evaluation.claims.boards import CHANCE, COLOR, LETTER, SHAPE
from oryx.evaluation.claims.connectors import Connector
from oryx.evaluation.claims.views import FilmViews, MixedViews, PictureViews, Way
from oryx.processing.geometry import REGIONS

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
"""Of a picture's own pixels, for the resolution dial."""
RATIOS = tuple(REGIONS)
LENGTHS = (100, 400, 1600)
"""Frames of the videos with a needle."""
NEEDLE_CHANCE = (1 / (len(COLORS) * len(SHAPES)) + 1 / len(COLORS) + 1 / len(SHAPES)) / 3
"""A needle is asked for its color and shape, its color, or its shape, equally often."""
ROOM_GROUPS = ("room", "one view", "across views")
WAYS: tuple[Way, ...] = ("native", "square", "aspect", "tiled")
"""To show a picture."""
BEHIND_TOWER: tuple[Part, ...] = ("compressor", "projector", "language_model")


def _on_boards(views: PictureViews | None = None, suffix: str = "") -> tuple[Measure, ...]:
    return tuple(
        Measure(name=f"{task}{suffix}", task=task, views=views, chance=CHANCE[task])
        for task in (LETTER, COLOR, SHAPE)
    )


def _picture_arm(way: Way, about: str) -> Arm:
    return Arm(
        name=way,
        about=f"goes on from base with {about}",
        start="base",
        views=PictureViews(way=way),
        steps=350,
        measures=_on_boards(),
    )


def _frozen_arm(tower: str, way: Way) -> Arm:
    source = "base" if tower == "lm" else "classifier"
    return Arm(
        name=f"{tower}_{way}",
        about=f"a new language model behind the frozen tower of {source}, {way} views",
        tower_of=source,
        train=BEHIND_TOWER,
        views=PictureViews(way=way),
        steps=450,
        measures=_on_boards(),
    )


def _connector_arm(connector: str) -> Arm:
    return Arm(
        name=f"connector_{connector}",
        about=f"connector {connector} at 4x, fresh, behind the frozen tower of base",
        start="base",
        train=BEHIND_TOWER,
        fresh=("compressor", "projector"),
        connector=cast(Connector, connector),
        views=PictureViews(ratio=4),
        steps=300,
        measures=_on_boards(),
    )


BASE_STEPS = 2000
ALL_WAYS = MixedViews(tuple(PictureViews(way=way) for way in WAYS))
_BASE = Arm(
    name="base",
    about="from random weights, each picture shown in one of the four ways",
    views=ALL_WAYS,
    steps=BASE_STEPS,
    learning_rate=2.5e-3,
    measures=_on_boards(),
)
_DIAL = Arm(
    name="dial",
    about="goes on from base with pictures of 1/8 to all of their pixels",
    start="base",
    views=PictureViews(shares=SHARES),
    steps=350,
    measures=tuple(
        measure for share in SHARES for measure in _on_boards(PictureViews(shares=(share,)), f" at {share:g}")
    ),
)
_CLASSIFIER = Arm(
    name="classifier",
    about="a tower trained by classification: heads on the mean of its features, and on single features",
    classifies=True,
    views=ALL_WAYS,
    steps=BASE_STEPS,
    learning_rate=2.5e-3,
    measures=_on_boards(),
)
_FILMS = Arm(
    name="films",
    about="goes on from base with films, at every ratio, each with the frames that 76 positions afford",
    start="base",
    material="films",
    views=FilmViews(ratios=RATIOS),
    steps=500,
    measures=tuple(
        Measure(
            name=f"{task} at {ratio}x",
            material="films",
            task=task,
            views=FilmViews(ratios=(ratio,)),
            chance=CHANCE[task],
        )
        for ratio in RATIOS
        for task in (LETTER, COLOR)
    ),
)


def _needle_arm(name: str, about: str) -> Arm:
    return Arm(
        name=name,
        about=about,
        start="films",
        material="needles" if name == "needles" else "short_videos",
        row_length=5120,
        rows=1,
        steps=900,
        measures=tuple(
            Measure(
                name=f"{length} frames",
                material="needles",
                task=str(length),
                chance=NEEDLE_CHANCE,
                questions=300,
            )
            for length in LENGTHS
        ),
    )


def _room_arm(name: str, about: str) -> Arm:
    return Arm(
        name=name,
        about=about,
        start=NANO,
        material="rooms_marked" if name == "rooms_marked" else "rooms_plain",
        row_length=3072,
        rows=1,
        steps=150,
        learning_rate=1e-3,
        measures=tuple(
            Measure(name=group, material="rooms_plain", task=group, questions=400) for group in ROOM_GROUPS
        ),
    )


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        _BASE,
        _picture_arm("native", "pictures as they are"),
        _picture_arm("square", "pictures squeezed into a square of 64 x 64 pixels"),
        _picture_arm("aspect", "pictures scaled to 4,096 pixels, their shape kept"),
        _picture_arm("tiled", "pictures cut into tiles of 32 x 32 pixels, after a small one of the whole"),
        _DIAL,
        _CLASSIFIER,
        *(_frozen_arm(tower, way) for tower in ("lm", "classifier") for way in ("native", "tiled")),
        *map(
            _connector_arm,
            (
                "subsample",
                "average",
                "dwconv",
                "convmlp",
                "dynamic",
                "dynamic_dwconv",
                "dynamic_convmlp",
            ),
        ),
        _FILMS,
        _room_arm("rooms_marked", "goes on from nano with rooms whose things bear numbers"),
        _room_arm("rooms_plain", "goes on from nano with the same rooms without numbers"),
        _needle_arm("needles", "goes on from films with short videos and needles in up to 1,600 frames"),
        _needle_arm("no_needles", "goes on from films with the short videos alone"),
    )
}
