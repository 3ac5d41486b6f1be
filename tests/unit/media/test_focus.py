"""How a focus is written, and which frames it means."""

import numpy as np
import pytest

from oryx.errors import ConfigError
from oryx.media.focus import AUTO, Focus, parse_focus
from oryx.media.sampling import VideoInfo, choose_frames, num_in_focus


@pytest.mark.parametrize(
    ("written", "spans", "unit"),
    [
        ("00:31-00:40", ((31.0, 40.0),), "seconds"),
        ("1:02:03.5-1:03:00", ((3723.5, 3780.0),), "seconds"),
        ("31s-40.5s", ((31.0, 40.5),), "seconds"),
        ("00:31", ((31.0, 31.0),), "seconds"),
        ("120-240", ((120, 240),), "frames"),
        ("7, 9-11", ((7, 7), (9, 11)), "frames"),
        ("00:01-00:02,00:05-00:06", ((1.0, 2.0), (5.0, 6.0)), "seconds"),
        ((31, 40), ((31.0, 40.0),), "seconds"),
        ([(1, 2.5), [4, 5]], ((1.0, 2.5), (4.0, 5.0)), "seconds"),
        (["00:01-00:02", "00:05-00:06"], ((1.0, 2.0), (5.0, 6.0)), "seconds"),
    ],
)
def test_ways_to_write_it(written, spans, unit):
    assert parse_focus(written) == Focus(spans, unit)


def test_what_stays_as_it_is():
    assert parse_focus(None) is None
    assert parse_focus(" Auto ") == AUTO
    focus = Focus(((1.0, 2.0),), "seconds")
    assert parse_focus(focus) is focus


@pytest.mark.parametrize(
    "written",
    ["", "soon", "1:2:3:4", "00:40-00:31", "5-3", "-3", "31-40s", [], [1], [(1, 2, 3)], 7, b"1-2", "1:99"],
)
def test_what_is_refused(written):
    with pytest.raises(ConfigError, match="focus"):
        parse_focus(written)


def test_text_reads_back():
    for written in ("00:31-00:40", "01:02:03.5-01:03:00", "120-240", "7-7,9-11"):
        assert str(parse_focus(written)) == written
        assert parse_focus(str(parse_focus(written))) == parse_focus(written)


def test_a_frame_is_in_focus_while_it_is_shown():
    times = np.array([0.0, 1.0, 2.0, 3.0])
    assert parse_focus("1.5s-2s").mask(times, 4, 4.0).tolist() == [False, True, True, False]
    assert parse_focus("3.9s-3.95s").mask(times, 4, 4.0).tolist() == [False, False, False, True]
    assert parse_focus("1-2").mask(None, 4).tolist() == [False, True, True, False]


@pytest.mark.parametrize("written", ["00:04-00:09", "4-9"])
def test_outside_the_video(written):
    with pytest.raises(ConfigError, match="outside the video, which has 4 frames"):
        parse_focus(written).mask(np.arange(4.0), 4, 4.0)


def test_times_need_times():
    with pytest.raises(ConfigError, match="frame numbers"):
        parse_focus("00:01-00:02").mask(None, 4)


def test_half_of_the_frames_come_from_the_focus():
    info = VideoInfo(4, 4, 1000, 10.0, 100.0)
    focus = parse_focus("00:31-00:40")
    chosen = np.array(choose_frames(info, 64, focus=focus))
    inside = focus.mask(info.times, 1000, info.end)[chosen]
    assert len(chosen) == 64
    assert (np.diff(chosen) > 0).all()
    assert inside.sum() == 32
    assert chosen[0] == 0
    assert chosen[-1] == 999


def test_few_frames_in_focus_leave_room_for_others():
    info = VideoInfo(4, 4, 100, 10.0, 10.0)
    chosen = choose_frames(info, 20, focus=parse_focus("50-52"))
    assert {50, 51, 52} <= set(chosen)
    assert len(chosen) == 20
    assert choose_frames(info, 200, focus=parse_focus("50-52")) == list(range(100))
    assert choose_frames(info, 1, focus=parse_focus("50-52")) == [50]


def test_a_focus_on_most_of_the_video_keeps_its_share():
    assert num_in_focus(90, 10, 20) == 18
    assert num_in_focus(100, 0, 20) == 20
    assert num_in_focus(99, 1, 100) == 99


def test_with_a_rate_the_frames_are_those_of_the_rate():
    info = VideoInfo(4, 4, 100, 10.0, 10.0)
    focus = parse_focus("50-52")
    assert choose_frames(info, 64, 1.0, focus) == choose_frames(info, 64, 1.0)
