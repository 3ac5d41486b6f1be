"""Ids of visuals: none means two things, and no running request loses its embeddings."""

import pytest
import torch

from oryx.serving.engines.visual_ids import IdsExhausted, VisualIds

WIDTH = 4
ROW = WIDTH * 4  # bytes


def embeds(number, length=3):
    return torch.full((length, WIDTH), float(number)) + torch.arange(length)[:, None] / 10


def look_up(visuals, *runs):
    return visuals.rows(torch.tensor([number for run in runs for number in run], dtype=torch.int32))


def test_every_visual_has_a_run_of_its_own():
    visuals = VisualIds(first_id=100, max_bytes=10**6)
    assert visuals.pin("a") is None
    assert visuals.add("a", embeds(1)) == range(100, 103)
    assert visuals.add("b", embeds(2, 5)) == range(103, 108)
    assert visuals.pin("a") == range(100, 103)
    assert (visuals.num_visuals, visuals.num_bytes) == (2, 8 * ROW)


def test_rows_are_those_of_the_ids_in_any_order():
    visuals = VisualIds(100, 10**6)
    a, b, c = (visuals.add(key, embeds(number)) for number, key in enumerate("abc"))
    # Adjoining visuals, the same twice, and parts as they come from prompts that are read in parts.
    rows = look_up(visuals, a, b, a, c[1:], b[:1])
    expected = torch.cat([embeds(0), embeds(1), embeds(0), embeds(2)[1:], embeds(1)[:1]])
    torch.testing.assert_close(rows, expected)


def test_ids_that_nobody_has_are_an_error():
    visuals = VisualIds(100, 0)
    a = visuals.add("a", embeds(1))
    visuals.add("b", embeds(2))
    visuals.unpin("a")
    visuals.end_step()
    with pytest.raises(LookupError, match="100 to 102"):
        look_up(visuals, a)
    with pytest.raises(LookupError, match="103 to 106"):
        look_up(visuals, range(103, 107))
    with pytest.raises(LookupError):
        look_up(visuals, range(99, 100))


def test_the_one_asked_for_the_longest_ago_goes_first():
    visuals = VisualIds(100, 7 * ROW)
    for key in "ab":
        visuals.add(key, embeds(0))
        visuals.unpin(key)
    visuals.end_step()
    assert visuals.pin("a") is not None
    visuals.unpin("a")
    visuals.end_step()
    visuals.add("c", embeds(1))
    assert visuals.pin("b") is None
    assert visuals.pin("a") == range(100, 103)
    assert visuals.num_bytes == 6 * ROW


def test_what_a_request_needs_stays_whatever_it_takes():
    visuals = VisualIds(100, max_bytes=0)
    a = visuals.add("a", embeds(1))
    visuals.pin("a")
    visuals.unpin("a")
    visuals.end_step()
    torch.testing.assert_close(look_up(visuals, a), embeds(1))
    assert visuals.num_bytes == 3 * ROW


def test_a_visual_stays_for_the_step_that_may_be_running_with_it():
    visuals = VisualIds(100, max_bytes=0)
    a = visuals.add("a", embeds(1))
    visuals.unpin("a")  # while a step runs
    visuals.add("b", embeds(2))
    torch.testing.assert_close(look_up(visuals, a), embeds(1))
    visuals.end_step()
    assert visuals.pin("a") is None


def test_a_visual_that_comes_back_gets_other_ids():
    visuals = VisualIds(100, max_bytes=0)
    visuals.add("a", embeds(1))
    visuals.unpin("a")
    visuals.end_step()
    assert visuals.add("a", embeds(1)) == range(103, 106)


def test_ids_run_out_and_start_over_once_all_is_forgotten():
    visuals = VisualIds(100, 10**6, last_id=105)
    assert visuals.num_ids == 6
    visuals.add("a", embeds(1))
    with pytest.raises(IdsExhausted):
        visuals.add("b", embeds(2, 4))
    assert visuals.add("b", embeds(2)) == range(103, 106)
    with pytest.raises(IdsExhausted):
        visuals.add("c", embeds(2, 1))
    visuals.clear()
    assert (visuals.num_visuals, visuals.num_bytes) == (0, 0)
    assert visuals.pin("a") is None
    ids = visuals.add("c", embeds(3, 4))
    assert ids == range(100, 104)
    torch.testing.assert_close(look_up(visuals, ids), embeds(3, 4))
