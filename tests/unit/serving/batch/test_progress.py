"""The bar of a terminal, and the lines where there is none."""

import io
import time

from rich.console import Console

from oryx.serving.batch import progress
from oryx.serving.batch.progress import BatchProgress


def console(is_terminal):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=120, color_system=None)


def test_a_log_has_a_line_a_minute(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    log = console(False)
    with BatchProgress(log) as bar:
        bar.begin(10_000, 400, 1)
        for number in range(150):
            now[0] += 1.0
            bar.advance(number == 80)
        bar.say("writing the output")
    assert log.file.getvalue().splitlines() == [
        "oryx: 460 of 10,000 rows, 1 error, 1 rows/s, 2:39:00 left",
        "oryx: 520 of 10,000 rows, 2 errors, 1 rows/s, 2:38:00 left",
    ]


def test_a_log_of_a_short_run_says_what_it_began_with():
    quiet = console(False)
    with BatchProgress(quiet) as bar:
        bar.say("checking the input")
        bar.tell("going on: 2 of 10 rows are done")
        bar.loading("nano (transformers)")
        bar.begin(10, 2, 0)
        bar.advance(True)
        bar.say("writing the output")
    assert quiet.file.getvalue().splitlines() == [
        "oryx: going on: 2 of 10 rows are done",
        "oryx: loading nano (transformers)",
    ]
    assert bar.rate > 0


def test_a_terminal_shows_done_total_errors_rate_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    loud = console(True)
    with BatchProgress(loud) as bar:
        bar.loading("the model")
        bar.begin(1000, 400, 1)
        for _ in range(20):
            now[0] += 0.5
            bar.advance(False)
        bar.advance(True)
        shown = bar._bar
        bar.tell("ending")
        shown.refresh()
        assert bar.rate == 2.1  # rows of the runs before are not counted
    text = loud.file.getvalue()
    assert "loading the model" in text
    assert "oryx: ending\n" in text
    assert "421/1000" in text
    assert "2.1 rows/s" in text
    assert "2 errors" in text
    assert "0:0" in text  # some time left


def test_one_error_is_one():
    assert [progress._errors(number) for number in (0, 1, 1200)] == ["", "1 error", "1,200 errors"]
