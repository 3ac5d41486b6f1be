"""The bar: shown on a terminal, silent elsewhere."""

import io

from rich.console import Console

from oryx.serving.batch import progress
from oryx.serving.batch.progress import BatchProgress


def console(is_terminal):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=120, color_system=None)


def test_nothing_is_shown_where_nobody_looks():
    quiet = console(False)
    with BatchProgress(quiet) as bar:
        bar.say("loading the model")
        bar.begin(10, 2, 0)
        bar.advance(True)
        bar.say("writing the output")
    assert quiet.file.getvalue() == ""
    assert bar.rate > 0


def test_a_terminal_shows_done_total_errors_rate_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    loud = console(True)
    with BatchProgress(loud) as bar:
        bar.say("loading the model")
        bar.begin(1000, 400, 1)
        for _ in range(20):
            now[0] += 0.5
            bar.advance(False)
        bar.advance(True)
        shown = bar._bar
        shown.refresh()
        assert bar.rate == 2.1  # rows of the runs before are not counted
    text = loud.file.getvalue()
    assert "loading the model" in text
    assert "421/1000" in text
    assert "2.1 rows/s" in text
    assert "2 errors" in text
    assert "0:0" in text  # some time left


def test_one_error_is_one():
    assert [progress._errors(number) for number in (0, 1, 1200)] == ["", "1 error", "1,200 errors"]
