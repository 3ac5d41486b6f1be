"""The progress bar says how fast the work is, not counting what was done before."""

import io
import re
import time

from rich.console import Console

from oryx.cli import display


def test_a_run_that_goes_on_is_no_faster_than_it_is(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(display, "stderr", lambda: Console(file=out, force_terminal=True, width=100))
    monkeypatch.setattr(display, "PATIENCE", 0.0)
    with display.progress_bar("questions") as bar:
        for done in range(5_000, 5_010):
            bar.update(done, 10_000)
            time.sleep(0.02)
    rates = [float(rate) for rate in re.findall(r"([\d.]+)/s", out.getvalue())]
    assert rates
    assert max(rates) < 60  # 5,000 at once would be far more
    assert re.search(r"\d:\d\d:\d\d", out.getvalue())  # the time that is left
