"""The claims of the paper in our words, and the comparisons that decide them, fixed before measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oryx.errors import ConfigError
from oryx.evaluation.claims.boards import COLOR, LETTER
from oryx.evaluation.claims.plan import ARMS, LENGTHS, RATIOS, ROOM_GROUPS, SHARES, WAYS
from oryx.evaluation.claims.verdicts import Comparison

PAPER = "arXiv 2409.12961"
Side = tuple[str, str]
"""(arm, measure)."""


@dataclass(frozen=True)
class Figure:
    """Bars of a claim, and for each the (arm, measure) of its series."""

    title: str
    bars: dict[str, dict[str, Side]]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and what would show it."""

    letter: str
    title: str
    text: str
    where: str
    """In the paper."""
    method: str
    comparisons: tuple[Comparison, ...]
    figure: Figure
    needs_rooms: bool = False

    @property
    def sides(self) -> list[Side]:
        """All that its comparisons and its figure show."""
        found = [side for comparison in self.comparisons for side in comparison.sides]
        found += [side for series in self.figure.bars.values() for side in series.values()]
        return list(dict.fromkeys(found))

    @property
    def arms(self) -> list[str]:
        """Names of the arms that it is about."""
        return list(dict.fromkeys(arm for arm, _ in self.sides))


def _both(arm: str, suffix: str = "") -> dict[str, Side]:
    """What reading and what seeing an object give."""
    return {"letter": (arm, LETTER + suffix), "color": (arm, COLOR + suffix)}


_CONNECTORS = {
    "MLP, subsampled": "subsample",
    "average pool": "average",
    "DWConv": "dwconv",
    "conv-MLP": "convmlp",
    "dynamic": "dynamic",
    "dynamic, DWConv": "dynamic_dwconv",
    "dynamic, conv-MLP": "dynamic_convmlp",
}

CLAIMS: dict[str, Claim] = {
    claim.letter: claim
    for claim in (
        Claim(
            letter="a",
            title="Native resolution",
            text=(
                "At equal pixels, pictures at their native resolution are read better than squeezed into a "
                "square, scaled to a fixed area, or cut into tiles; what needs only objects gains less."
            ),
            where="abstract; analysis experiments",
            method=(
                "A model that has met all four ways equally often goes on with each of them alone, on the "
                "same boards with the same questions, and is tested on fresh ones."
            ),
            comparisons=(
                Comparison(
                    "reads more at native resolution than squeezed", ("native", LETTER), ("square", LETTER)
                ),
                Comparison(
                    "reads more at native resolution than at a fixed area",
                    ("native", LETTER),
                    ("aspect", LETTER),
                ),
                Comparison(
                    "reads more at native resolution than tiled", ("native", LETTER), ("tiled", LETTER)
                ),
                Comparison(
                    "reading gains more over squeezed than the color of an object does",
                    ("native", LETTER),
                    ("square", LETTER),
                    over=(("native", COLOR), ("square", COLOR)),
                ),
            ),
            figure=Figure(
                "Four ways to show a picture, at about 4,100 pixels",
                {way: _both(way) for way in WAYS},
            ),
        ),
        Claim(
            letter="b",
            title="Resolution dial",
            text="Reading rises with the pixels that a picture is given; an object is seen with few.",
            where="figure 1; analysis experiments",
            method=("One model that has met all of these sizes, on boards with 1/8 to all of their pixels."),
            comparisons=(
                Comparison(
                    "reads more with all pixels than with a quarter",
                    ("dial", f"{LETTER} at 1"),
                    ("dial", f"{LETTER} at 0.25"),
                ),
                Comparison(
                    "reading gains more from a quarter to all pixels than color does",
                    ("dial", f"{LETTER} at 1"),
                    ("dial", f"{LETTER} at 0.25"),
                    over=(("dial", f"{COLOR} at 1"), ("dial", f"{COLOR} at 0.25")),
                ),
            ),
            figure=Figure(
                "Share of a picture's own pixels",
                {f"{share:g}": _both("dial", f" at {share:g}") for share in SHARES},
            ),
        ),
        Claim(
            letter="c",
            title="How the tower was trained",
            text=(
                "A tower trained behind a light language model serves a language model better than one "
                "trained by classification, and better with native views than with tiles."
            ),
            where="native-resolution encoder; analysis experiments",
            method=(
                "Two towers from the same random weights, the same boards in all four ways, labels and "
                "marks: one behind a language model, one under classification heads. Each is frozen then, "
                "and a new connector and a new language model are trained behind it."
            ),
            comparisons=(
                Comparison(
                    "native views: reads more behind the tower trained with a language model",
                    ("lm_native", LETTER),
                    ("classifier_native", LETTER),
                ),
                Comparison(
                    "that tower: reads more with native views than with tiles",
                    ("lm_native", LETTER),
                    ("lm_tiled", LETTER),
                ),
            ),
            figure=Figure(
                "Two frozen towers, two ways to show a picture",
                {
                    f"{name}, {way}": _both(f"{tower}_{way}")
                    for tower, name in (("lm", "language model"), ("classifier", "classification"))
                    for way in ("native", "tiled")
                },
            ),
        ),
        Claim(
            letter="d",
            title="Connector",
            text=(
                "The dynamic compressor, with average pooling for its queries, keeps more than an MLP on "
                "subsampled features, average pooling, DWConv, conv-MLP, and itself with learned queries."
            ),
            where="section 3.1.2; analysis experiments",
            method=(
                "At 4x, each connector fresh between the same frozen tower and the same language model, "
                "which learns on."
            ),
            comparisons=tuple(
                Comparison(
                    f"reads more with the dynamic compressor than with {name}",
                    ("connector_dynamic", LETTER),
                    (f"connector_{key}", LETTER),
                )
                for name, key in _CONNECTORS.items()
                if key != "dynamic"
            ),
            figure=Figure(
                "Connectors at 4x", {name: _both(f"connector_{key}") for name, key in _CONNECTORS.items()}
            ),
        ),
        Claim(
            letter="e",
            title="Ratio dial",
            text=(
                "At an equal number of tokens, what a film shows for a moment is seen at a high ratio with "
                "more frames, and what is small is read at a low ratio with fewer."
            ),
            where="abstract, figure 1 and section 3.1.2",
            method=(
                "One model that has met all ratios, on films of 36 frames, of which as many are shown as 76 "
                "positions afford: 2 at 1x to 18 at 16x."
            ),
            comparisons=(
                Comparison(
                    "the moment: more at 16x than at 1x",
                    ("films", f"{COLOR} at 16x"),
                    ("films", f"{COLOR} at 1x"),
                ),
                Comparison(
                    "the small letter: more at 1x than at 16x",
                    ("films", f"{LETTER} at 1x"),
                    ("films", f"{LETTER} at 16x"),
                ),
            ),
            figure=Figure(
                "Films in 76 positions", {f"{ratio}x": _both("films", f" at {ratio}x") for ratio in RATIOS}
            ),
        ),
        Claim(
            letter="f",
            title="Needle training",
            text="Training on long videos with needles is what lets one frame of 1,600 be found.",
            where="abstract; long-form experiments, section 4.2",
            method=(
                "Two models go on from the same weights for the same steps, with short videos, and with "
                "needles in 4 to 1,600 frames or without."
            ),
            comparisons=tuple(
                Comparison(
                    f"{length:,} frames: more with needle training",
                    ("needles", f"{length} frames"),
                    ("no_needles", f"{length} frames"),
                )
                for length in LENGTHS
            ),
            figure=Figure(
                "Needles found",
                {
                    f"{length:,} frames": {
                        "with needle training": ("needles", f"{length} frames"),
                        "without": ("no_needles", f"{length} frames"),
                    }
                    for length in LENGTHS
                },
            ),
        ),
        Claim(
            letter="g",
            title="Marks in rooms",
            text="Numbers on the things of a room, the same in every view, help to tell what is where.",
            where="abstract; 3D experiments, section 4.3",
            method=(
                "nano learns on for the same steps with rooms whose things bear numbers, or with the same "
                "rooms without; each is asked about unseen rooms in its own way."
            ),
            comparisons=(
                Comparison(
                    "across views: more with marks",
                    ("rooms_marked", "across views"),
                    ("rooms_plain", "across views"),
                ),
            ),
            figure=Figure(
                "Rooms",
                {
                    group: {"with marks": ("rooms_marked", group), "without": ("rooms_plain", group)}
                    for group in ROOM_GROUPS
                },
            ),
            needs_rooms=True,
        ),
    )
}


def choose_claims(letters: Sequence[str] | None) -> list[Claim]:
    """The claims with these letters, or all. Raises ConfigError for one that does not exist."""
    for letter in letters or ():
        if letter not in CLAIMS:
            raise ConfigError(f"there is no claim {letter!r}; allowed: {', '.join(CLAIMS)}.")
    return [claim for claim in CLAIMS.values() if not letters or claim.letter in letters]


def arms_of(claims: Sequence[Claim]) -> list[str]:
    """The arms of claims and all that these go on from, in an order in which they can be trained."""
    wanted = {arm for claim in claims for arm in claim.arms}
    for name in reversed(ARMS):
        if name in wanted:
            wanted.update(ARMS[name].needs)
    return [name for name in ARMS if name in wanted]
