"""Jobs in other processes: results as they come, and no job begun after the end."""

import os

import pytest

from oryx.data import processes
from oryx.data.processes import run_in_processes
from oryx.errors import ConfigError


def test_all_results_come():
    assert sorted(run_in_processes(pow, [(2, power) for power in range(5)], 2, "counted")) == [1, 2, 4, 8, 16]


def test_an_interrupt_while_it_waits_drops_what_is_not_begun(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(processes, "as_completed", interrupted)
    jobs = [(tmp_path / str(number),) for number in range(40)]
    with pytest.raises(KeyboardInterrupt):
        list(run_in_processes(os.mkdir, jobs, 2, "made"))
    assert len(list(tmp_path.iterdir())) < 10  # those that the two processes had been handed


def test_an_error_in_a_job_is_raised(tmp_path):
    with pytest.raises(FileExistsError):
        list(run_in_processes(os.mkdir, [(tmp_path,), (tmp_path / "other",)], 2, "made"))


def test_a_process_that_dies_is_one_sentence():
    with pytest.raises(ConfigError, match=r"fewer workers\. What was drawn by then is kept"):
        list(run_in_processes(os._exit, [(9,), (9,)], 2, "drawn"))
