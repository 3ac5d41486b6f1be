"""The log survives a kill in the middle of a line, a full disk, and a second run at the same time."""

import os

import pytest

from oryx.data.builders.needle.log import RunLog
from oryx.errors import ConfigError, OryxError


def test_events_are_there_again(tmp_path):
    with RunLog(tmp_path / "log.jsonl") as log:
        log.append("clip", clip=1, video="ä.mp4")
        log.append("record", job=2)
    with RunLog(tmp_path / "log.jsonl") as log:
        assert log.events == [{"event": "clip", "clip": 1, "video": "ä.mp4"}, {"event": "record", "job": 2}]
        assert log.of("record") == [{"event": "record", "job": 2}]


def test_a_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "clip"}\n{"event": "rec')
    with RunLog(path) as log:
        assert log.events == [{"event": "clip"}]
        log.append("record")
    assert path.read_bytes() == b'{"event": "clip"}\n{"event": "record"}\n'


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b'{"job": 1}\n', b"\n"])
def test_something_else_is_refused(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "clip"}\n' + line)
    with pytest.raises(ConfigError, match="line 2 is no log"), RunLog(path):
        pass


def test_two_runs_at_once_are_refused(tmp_path):
    pytest.importorskip("fcntl")
    with (
        RunLog(tmp_path / "log.jsonl"),
        pytest.raises(ConfigError, match="another run is writing"),
        RunLog(tmp_path / "log.jsonl"),
    ):
        pass


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.append("clip")

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OryxError, match=r"No space left on device.*the same command goes on"):
            log.append("record")
        monkeypatch.undo()
    with RunLog(path) as log:
        assert log.events[0] == {"event": "clip"}


class Filling:
    """A file on a disk that takes a part of one line, and has space again after `refusals` more tries."""

    def __init__(self, file, refusals):
        self.file = file
        self.refusals = refusals

    def write(self, data):
        if self.refusals:
            self.refusals -= 1
            if self.refusals:
                return self.file.write(data[:10])
            raise OSError(28, "No space left on device")
        return self.file.write(data)

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.file.close()


def test_half_a_line_is_taken_back_before_another_follows(tmp_path):
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.append("clip", clip=0)
        log._file = Filling(log._file, refusals=2)
        with pytest.raises(OryxError, match="No space left"):
            log.append("record", job=0)
        log.append("record", job=1)
    with RunLog(path) as log:
        assert log.events == [{"event": "clip", "clip": 0}, {"event": "record", "job": 1}]


def test_nothing_follows_half_a_line_that_stays(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"

    def refuse(*_):
        raise OSError(5, "Input/output error")

    with RunLog(path) as log:
        log.append("clip", clip=0)
        log._file = Filling(log._file, refusals=2)
        monkeypatch.setattr(os, "ftruncate", refuse)
        for _ in range(2):
            with pytest.raises(OryxError, match="the same command goes on"):
                log.append("record", job=0)
    with RunLog(path) as log:  # as after a kill
        assert log.events == [{"event": "clip", "clip": 0}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_really_full():
    from pathlib import Path

    log = RunLog(Path("/dev/full"))
    log._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    with log._file, pytest.raises(OryxError, match="No space left"):
        log.append("record")


def test_halves_of_characters_are_kept(tmp_path):
    """A file's name may hold bytes that are no UTF-8, a server's message half of an emoji."""
    video = os.fsdecode(b"caf\xe9.mp4")
    with RunLog(tmp_path / "log.jsonl") as log:
        log.append("skipped", video=video, reason="said \ud83d")
    with RunLog(tmp_path / "log.jsonl") as log:
        assert log.events == [{"event": "skipped", "video": video, "reason": "said \ud83d"}]
