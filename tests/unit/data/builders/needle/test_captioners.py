"""Asking again: how often, how long it waits, and when it gives up at once."""

import threading
from collections import Counter

import pytest

from oryx.data.builders.needle.captioners import MAX_WAIT, caption
from oryx.errors import CaptionError, ConfigError


class Waits:
    """In place of the event that ends the waiting: notes how long it would wait."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return False


def outage(wait=None):
    return CaptionError("the server is away", True, wait)


def test_a_good_answer_is_taken_as_it_is(sayer):
    assert caption(sayer(" A red door. \n"), [b""], "?").text == "A red door."


def test_waits_double_and_nonsense_is_asked_again_at_once(sayer):
    waits = Waits()
    attempt = caption(sayer(outage(), "", outage(), "A door."), [b""], "?", retries=3, backoff=2, stop=waits)
    assert (attempt.text, attempt.tries) == ("A door.", 4)
    assert attempt.faults == Counter(outage=2, empty=1)
    assert waits.waited == [2, 0, 8]


def test_a_server_that_says_how_long_is_obeyed_within_reason(sayer):
    waits = Waits()
    caption(sayer(outage(5.0), outage(9999.0), "A door."), [b""], "?", stop=waits)
    assert waits.waited == [5.0, MAX_WAIT]


def test_tries_are_bounded(sayer):
    captioner = sayer(*[outage() for _ in range(9)])
    attempt = caption(captioner, [b""], "?", retries=2, backoff=0)
    assert (attempt.text, attempt.tries, len(captioner.asked)) == (None, 3, 3)
    assert attempt.error.is_outage


def test_the_same_nonsense_is_not_asked_for_twice(sayer):
    captioner = sayer("", "A door.", is_deterministic=True)
    attempt = caption(captioner, [b""], "?", backoff=0)
    assert (attempt.text, attempt.tries) == (None, 1)
    assert not attempt.error.is_outage
    assert "sayer gave no caption (empty: '')" in str(attempt.error)


def test_a_refusal_for_good_is_raised(sayer):
    with pytest.raises(ConfigError, match="wrong key"):
        caption(sayer(ConfigError("wrong key")), [b""], "?")


def test_stop_ends_the_waiting(sayer):
    stop = threading.Event()
    stop.set()
    attempt = caption(sayer(outage(), "A door."), [b""], "?", backoff=1000, stop=stop)
    assert (attempt.text, attempt.tries) == (None, 1)
