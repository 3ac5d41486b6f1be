"""The skills `video_order` and `video_direction`: answers follow from the frames."""

import itertools

import numpy as np
import pytest

from oryx.data.synthetic import make_source
from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.data.synthetic.questions import PLACES

PLAIN = {
    "style": "plain",
    "background": "white",
    "wordings": "first",
    "colors": ["red", "green", "blue", "black"],
}
RGB = {name: COLORS[name][0] for name in PLAIN["colors"]}


def turns(sample):
    values = [turn["value"].removeprefix("<image>\n") for turn in sample.conversations]
    return list(zip(values[::2], values[1::2], strict=True))


def ink(frame):
    """The name of the frame's one colour, and the mean (y, x) of its ink in pixels."""
    pixels = np.asarray(frame)
    (color,) = [name for name in RGB if (pixels == RGB[name]).all(axis=-1).any()]
    ys, xs = np.nonzero((pixels != 255).any(axis=-1))
    return color, ys.mean(), xs.mean()


def test_order_follows_the_frames():
    settings = {**PLAIN, "turns": 9, "shapes": ["circle"], "num_frames": [4, 9], "num_events": [2, 3]}
    source = make_source({"video_order": settings}, seed=0)
    kinds = set()
    for index in range(40):
        sample = source[index]
        (visual,) = sample.visuals
        assert (visual["type"], visual["compression"]) == ("video", 4)
        assert 4 <= len(visual["video"]) <= 9
        assert len({frame.size for frame in visual["video"]}) == 1
        order = [color for color, _ in itertools.groupby(ink(frame)[0] for frame in visual["video"])]
        names = [f"{color} circle" for color in order]
        assert len(set(names)) == len(names)
        assert 2 <= len(names) <= 3
        expected = {"What comes first?": names[0], "What comes last?": names[-1]}
        expected["Describe the video."] = ", then ".join(f"a {name}" for name in names)
        for earlier, later in itertools.pairwise(names):
            expected[f"What comes after the {earlier}?"] = later
            expected[f"What comes before the {later}?"] = earlier
        asked = dict(turns(sample))
        assert asked == {question: expected[question] for question in asked}
        kinds |= {question.partition(" the ")[0] for question in asked}
    assert len(kinds) == 5


def test_direction_follows_the_frames():
    source = make_source({"video_direction": {**PLAIN, "turns": 3}}, seed=1)
    seen = set()
    for index in range(60):
        sample = source[index]
        frames = sample.visuals[0]["video"]
        (color, y0, x0), (_, y1, x1) = ink(frames[0]), ink(frames[-1])
        rows, columns = y1 - y0, x1 - x0
        if abs(rows) > abs(columns):
            direction, share = ("down" if rows > 0 else "up"), abs(rows) / frames[0].height
        else:
            direction, share = ("right" if columns > 0 else "left"), abs(columns) / frames[0].width
        answers = dict(turns(sample))
        assert answers["Which direction does the object move?"] == direction
        assert answers["What color is the object?"] == color
        assert answers["What shape is the object?"] in SHAPES
        assert share > 0.35
        seen.add(direction)
    assert seen == {"left", "right", "up", "down"}


@pytest.mark.parametrize("skill", ["video_order", "video_direction"])
def test_marks_name_what_a_few_frames_show(skill):
    source = make_source({skill: {**PLAIN, "num_frames": [8, 32]}}, seed=2)
    for index in range(10):
        visual = source[index].visuals[0]
        views = [mark.view for mark in visual["marks"]]
        assert views == sorted(views)
        assert 1 <= len(set(views)) <= 6
        assert max(views) < len(visual["video"])
        for mark in visual["marks"]:
            frame = visual["video"][mark.view]
            pixel = frame.getpixel((int(mark.x * frame.width), int(mark.y * frame.height)))
            if mark.text[1:] in RGB:
                assert ink(frame)[0] == mark.text[1:]
                assert pixel != (255, 255, 255)
            elif mark.text == ".":
                assert pixel == (255, 255, 255)
            else:
                assert mark.text[1:] in (*SHAPES, *" ".join(PLACES).split())


@pytest.mark.parametrize("skill", ["video_order", "video_direction"])
def test_a_frame_in_one_token_is_taught_its_color_too(skill):
    source = make_source({skill: {**PLAIN, "num_frames": 8}}, seed=5)
    first = set()
    for index in range(20):
        marks = source[index].visuals[0]["marks"]
        for _, of_view in itertools.groupby(marks, key=lambda mark: mark.view):
            first.add(next(of_view).text[1:])  # a token keeps its first mark
    assert first & set(RGB)
    assert first & set(SHAPES)
    assert "" not in first


def test_questions_can_be_restricted_and_marks_left_out():
    source = make_source({"video_order": {"questions": ["last"], "marks": False, "turns": 3}}, seed=3)
    sample = source[0]
    assert len(turns(sample)) == 1
    assert "marks" not in sample.visuals[0]


@pytest.mark.parametrize("colors", [["white", "yellow"], ["black", "blue"]])
def test_few_colours_still_give_different_objects(colors):
    settings = {
        "colors": colors,
        "shapes": ["star", "ring"],
        "num_events": [2, 2],
        "questions": ["first", "last"],
    }
    source = make_source({"video_order": {**settings, "turns": 2}}, seed=4)
    for index in range(30):
        one, other = (answer for _, answer in turns(source[index]))
        assert one != other
