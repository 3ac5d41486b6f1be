"""Lines of a log: what they say, how often, and how fast the work is."""

import io
import time

import pytest
from rich.console import Console

from oryx.cli import display
from oryx.log_lines import LogLines, log_line, rate_text


@pytest.fixture
def now(monkeypatch):
    """A clock that is set by hand."""
    seconds = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: seconds[0])
    return seconds


def console(is_terminal=False):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=60, color_system=None)


@pytest.mark.parametrize(
    ("speed", "text"), [(None, ""), (0.0, ""), (3.25, "3.25/s"), (1234.0, "1,234/s"), (0.05, "3/min")]
)
def test_rates(speed, text):
    assert rate_text(speed) == text


def test_a_rate_with_a_unit():
    assert rate_text(0.5, "rows") == "30 rows/min"


def test_a_line_says_what_is_known():
    assert log_line(0, 63, "arms") == "0 of 63 arms"
    assert log_line(1, 2, "", "", "so far good", seconds_left=3661.4) == "1 of 2, so far good, 1:01:01 left"


def test_a_line_a_minute_that_leaves_out_what_an_earlier_run_did(now):
    log = console()
    lines = LogLines(log)
    for step in range(130):
        now[0] += 1.0
        lines.update(5_000 + 2 * step, 10_000, "questions")
    assert log.file.getvalue().splitlines() == [
        "oryx: questions: 5,118 of 10,000, 2/s, 0:40:41 left",
        "oryx: questions: 5,238 of 10,000, 2/s, 0:39:41 left",
    ]


def test_stages_of_one_work_have_rates_of_their_own(now):
    """As of a needle test, which encodes frames and then asks; no stage alone takes a minute."""
    log = console()
    lines = LogLines(log)
    for number, (label, rate) in enumerate((("100 frames", 10), ("asking [1]", 1))):
        for done in range(41):
            now[0] += 1.0
            lines.update(rate * done, 40 * rate + number, label)
    assert log.file.getvalue() == "oryx: asking [1]: 18 of 41, 1/s, 0:00:23 left\n"


def test_a_terminal_gets_no_lines(now):
    loud = console(is_terminal=True)
    lines = LogLines(loud)
    for done in range(10):
        now[0] += 60.0
        lines.update(done, 10)
    assert loud.file.getvalue() == ""


def test_a_bar_is_a_line_a_minute_where_there_is_no_terminal(now, monkeypatch):
    log = console()
    monkeypatch.setattr(display, "stderr", lambda: log)
    with display.progress_bar("questions") as bar:
        for done in range(4):
            bar.update(done, 9)
            now[0] += 45.0
    assert log.file.getvalue() == "oryx: questions: 2 of 9, 1.33/min, 0:05:15 left\n"
