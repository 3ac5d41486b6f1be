import errno
import subprocess
import sys

import pytest
from filelock import FileLock

from oryx.errors import ConfigError
from oryx.locks import take_lock


def test_the_second_is_told_until_the_first_lets_go(tmp_path):
    first = take_lock(tmp_path / ".lock", "taken.")
    with pytest.raises(ConfigError, match=r"^taken\.$"):
        take_lock(tmp_path / ".lock", "taken.", patience=0.0)
    first.release()
    take_lock(tmp_path / ".lock", "taken.", patience=0.0).release()
    assert (tmp_path / ".lock").exists()


def test_a_killed_process_holds_nothing(tmp_path):
    program = (
        f"import os; from pathlib import Path; from oryx.locks import take_lock\n"
        f"lock = take_lock(Path({str(tmp_path / '.lock')!r}), ''); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert (tmp_path / ".lock").exists()
    take_lock(tmp_path / ".lock", "taken.", patience=1.0).release()


def test_where_the_file_system_has_no_locks_a_killed_process_leaves_nothing(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert take_lock(tmp_path / ".lock", "taken.", patience=0.0) is None
    assert take_lock(tmp_path / ".lock", "taken.", patience=0.0) is None


@pytest.mark.parametrize("error", [OSError, NotImplementedError])
def test_where_nothing_can_be_locked_nobody_is_kept_out(tmp_path, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    assert take_lock(tmp_path / ".lock", "taken.") is None
