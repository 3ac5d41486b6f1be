"""The skill `frame_at`: frames count from 0, and answers follow from them."""

import itertools

from oryx.data.synthetic import make_source
from oryx.data.synthetic.drawing import COLORS, SHAPES


def test_answers_follow_from_the_numbered_frame(plain, turns, ink):
    settings = {**plain, "shapes": ["circle"], "num_frames": [5, 12], "turns": 12, "counted": 0}
    source = make_source({"frame_at": settings}, seed=0)
    kinds, asked_of = set(), []
    for index in range(40):
        sample = source[index]
        (visual,) = sample.visuals
        frames = visual["video"]
        assert 5 <= len(frames) <= 12
        assert len({frame.size for frame in frames}) == 1
        colors = [ink(frame)[0] for frame in frames]
        for question, answer in turns(sample):
            if question.startswith("In which frame does the "):
                assert answer == str(colors.index(question.split()[5]))
                assert question == f"In which frame does the {colors[int(answer)]} circle first appear?"
                kinds.add("first_frame")
                continue
            number = int(question.rstrip("?").split()[-1])
            asked_of.append(number / len(frames))
            color = colors[number]
            expected = {
                f"What is in frame {number}?": f"{color} circle",
                f"What color is the object in frame {number}?": color,
                f"What shape is the object in frame {number}?": "circle",
            }
            assert answer == expected[question]
            kinds.add(question.split()[1])
    assert kinds == {"first_frame", "is", "color", "shape"}
    assert min(asked_of) == 0
    assert 0.35 < sum(asked_of) / len(asked_of) < 0.55


def test_shots_have_the_lengths_asked_for_and_neighbours_differ(plain, ink):
    settings = {**plain, "shapes": ["square"], "num_frames": 30, "run_length": [2, 4], "drift": 0}
    source = make_source({"frame_at": settings}, seed=1)
    for index in range(20):
        colors = [ink(frame)[0] for frame in source[index].visuals[0]["video"]]
        lengths = [len(list(run)) for _, run in itertools.groupby(colors)]
        assert all(2 <= length <= 4 for length in lengths[:-1])
        assert 1 <= lengths[-1] <= 4


def test_backgrounds_change_with_the_shots_or_stay():
    kept = {}
    for cuts in ("scene", "object", "mixed"):
        source = make_source({"frame_at": {"cuts": cuts, "num_frames": 12, "background": "plain"}}, seed=2)
        corners = [{f.getpixel((0, 0)) for f in source[index].visuals[0]["video"]} for index in range(40)]
        kept[cuts] = sum(len(seen) <= 2 for seen in corners)  # an object may lie in the corner
    assert kept["object"] == 40
    assert kept["scene"] < kept["mixed"] < 40


def test_marks_name_what_a_few_frames_show(plain, ink):
    source = make_source({"frame_at": {**plain, "num_frames": [4, 40]}}, seed=3)
    for index in range(20):
        (visual,) = source[index].visuals
        assert len({mark.view for mark in visual["marks"]}) == min(8, len(visual["video"]))
        for _, marks in itertools.groupby(visual["marks"], key=lambda mark: mark.view):
            assert next(marks).text != "."  # a token keeps its first mark
        for mark in visual["marks"]:
            frame = visual["video"][mark.view]
            pixel = frame.getpixel((int(mark.x * frame.width), int(mark.y * frame.height)))
            if mark.text == ".":
                assert pixel == (255, 255, 255)
            else:
                color = ink(frame)[0]
                assert pixel == COLORS[color][0]
                assert mark.text[1:] in (color, *SHAPES)
