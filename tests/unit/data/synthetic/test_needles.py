"""The skill `needle`: the question finds one frame among all."""

import numpy as np

from oryx.data.synthetic import make_source
from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.data.synthetic.haystack import is_muted
from oryx.data.synthetic.questions import FRAME_COUNTS


def needle_frames(frames):
    return [index for index, frame in enumerate(frames) if not is_muted(np.asarray(frame)).all()]


def test_needles_lie_anywhere_and_are_all_that_is_not_muted():
    source = make_source({"needle": {"num_frames": [20, 30], "num_needles": [1, 3]}}, seed=0)
    counts, depths = set(), []
    for index in range(120):
        (visual,) = source[index].visuals
        frames = visual["video"]
        assert (visual["type"], visual["compression"]) == ("video", 16)
        assert 20 <= len(frames) <= 30
        assert len({frame.size for frame in frames}) == 1
        found = needle_frames(frames)
        counts.add(len(found))
        depths += [place / len(frames) for place in found]
    assert counts == {1, 2, 3}
    assert np.histogram(depths, 4, (0, 1))[0].min() > 0.15 * len(depths)


def test_marks_name_needles_where_they_are_and_nothing_elsewhere():
    source = make_source({"needle": {"num_frames": 24, "num_needles": 2}}, seed=1)
    for index in range(30):
        (visual,) = source[index].visuals
        frames, words = visual["video"], {}
        for mark in visual["marks"]:
            words.setdefault(mark.view, []).append(mark.text.strip())
        needles = needle_frames(frames)
        assert {view for view, said in words.items() if set(said) != {"."}} == set(needles)
        for view in needles:
            assert words[view][0] in (*COLORS, *SHAPES)  # a token keeps its first mark
            named = set(words[view]) - {"."}
            assert len(named & set(COLORS)) <= 1
            assert len(named & set(SHAPES)) <= 1
        assert 1 <= len(set(words) - set(needles)) <= 4


def test_each_of_several_is_asked_of_once(turns):
    source = make_source({"needle": {"num_needles": 3, "turns": 6, "wordings": "first"}}, seed=2)
    for index in range(30):
        asked = [(question.split(" frames. ")[-1], answer) for question, answer in turns(source[index])]
        needles = {(a, q.split()[-1][:-1]) for q, a in asked if q.startswith("What color is the ")}
        needles |= {(q.split()[-2], a) for q, a in asked if q.startswith("What shape is the ")}
        assert len(asked) == len(needles) == 3  # its colour or its shape: each would tell the other
        assert [len(set(names)) for names in zip(*needles)] == [3, 3]


def test_some_questions_say_how_many_frames_there_are(turns):
    for counted, (least, most) in {0.0: (0, 0), 0.5: (20, 40), 1.0: (60, 60)}.items():
        source = make_source({"needle": {"counted": counted, "turns": 2}}, seed=3)
        told = 0
        for index in range(60):
            sample = source[index]
            heads = [text.format(frames=len(sample.visuals[0]["video"])) for text in FRAME_COUNTS]
            first, *others = [question for question, _ in turns(sample)]
            told += first.startswith(tuple(f"{head} W" for head in heads))
            assert not any(other.startswith(tuple(heads)) for other in others)
        assert least <= told <= most


def test_without_marks_and_with_one_frame():
    source = make_source({"needle": {"num_frames": 1, "num_needles": 1, "marks": False}}, seed=4)
    (visual,) = source[0].visuals
    assert "marks" not in visual
    assert len(visual["video"]) == 1
