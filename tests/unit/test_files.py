"""Files appear whole or not at all; what cannot be written is refused before any work."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oryx import files
from oryx.errors import ConfigError
from oryx.files import (
    check_folder,
    check_writable,
    is_free,
    make_folder,
    staged,
    staged_folder,
    write_whole,
)


def leave(folder, beside):
    """What a process that was killed leaves."""
    (beside / f".{folder.name}.0123abcd.part" / "new").mkdir(parents=True)
    (beside / f".{folder.name}.0123abcd.lock").touch()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folder(tmp_path):
    path = tmp_path / "new" / "file.bin"
    assert write_whole(path, b"one") == path
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert names_in(path.parent) == ["file.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_there_stays_when_the_writing_ends_badly(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half():
        with staged(path) as staging:
            staging.write_text("half")
            assert names_in(tmp_path) == [staging.name, "file"]  # hidden, beside it
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_a_disk_that_refuses_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "file", b"new")
    assert names_in(tmp_path) == []


def test_nothing_written_is_an_error_and_no_file(tmp_path):
    with pytest.raises(FileNotFoundError), staged(tmp_path / "file"):
        pass
    assert names_in(tmp_path) == []


def test_many_may_write_the_same_file(tmp_path):
    path, contents = tmp_path / "file", [bytes([number]) * 100_000 for number in range(8)]
    threads = [threading.Thread(target=write_whole, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "empty"])
def test_a_folder_appears_with_all_that_it_holds(tmp_path, monkeypatch, is_there):
    folder = tmp_path / "folder"
    leave(folder, tmp_path)
    if is_there:
        folder.mkdir()
        monkeypatch.chdir(folder)
    with staged_folder(Path() if is_there else folder) as staging:
        (staging / "inner").mkdir()
        (staging / "inner" / "file").write_text("x")
        (staging / "file").write_text("x")
        assert not folder.exists() or names_in(folder) == []
    assert names_in(tmp_path) == ["folder"]
    assert names_in(Path() if is_there else folder) == ["file", "inner"]
    assert names_in(folder / "inner") == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_of_a_folder_that_ends_badly_nothing_is_left(tmp_path, error):
    def write_half():
        with staged_folder(tmp_path / "folder") as staging:
            (staging / "file").write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert names_in(tmp_path) == []


def test_what_a_folder_held_is_replaced_only_where_that_is_asked_for(tmp_path):
    folder = tmp_path / "folder"
    for content, replace in (("old", False), ("new", True)):
        with staged_folder(folder, replace) as staging:
            (staging / content).write_text(content)
    assert names_in(folder) == ["new"]
    assert names_in(tmp_path) == ["folder"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    folder = write_whole(tmp_path / "folder" / "old", b"old").parent
    replace_one = files.os.replace

    def fail(source, destination):
        if source.name == "new":
            raise OSError(28, "No space left on device")
        replace_one(source, destination)

    def write():
        with staged_folder(folder, replace=True) as staging:
            (staging / "new").write_text("new")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write()
    assert (names_in(tmp_path), names_in(folder)) == (["folder"], ["old"])


def test_many_may_write_the_same_folder(tmp_path):
    """Each is whole, and none takes away what another is writing."""

    def write(number):
        for _ in range(5):
            with staged_folder(tmp_path / "folder", replace=True) as staging:
                for name in "abc":
                    (staging / f"{name}{number}").write_text("x")

    failed = []
    threads = [threading.Thread(target=trying, args=(write, number, failed)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names_in(tmp_path) == ["folder"]
    assert len(names_in(tmp_path / "folder")) == 3
    assert all(error.filename2 for error in failed)  # two replaced it at once, and one was late


def trying(work, argument, failed):
    try:
        work(argument)
    except OSError as error:
        failed.append(error)


def test_a_mount_point_is_filled_from_within(tmp_path, monkeypatch):
    folder = tmp_path / "mount"
    leave(folder, folder)
    monkeypatch.setattr(files.os.path, "ismount", lambda path: path == folder)
    assert is_free(folder)
    with staged_folder(folder) as staging:
        assert staging.is_relative_to(folder)
        (staging / "file").write_text("x")
    assert names_in(folder) == ["file"]
    assert not is_free(folder)


def test_what_another_process_is_writing_stays(tmp_path):
    code = """
import sys
from pathlib import Path
from oryx.files import staged_folder
with staged_folder(Path(sys.argv[1])) as staging:
    (staging / "theirs").write_text("x")
    print("there", flush=True)
    sys.stdin.readline()
"""
    folder = tmp_path / "folder"
    other = subprocess.Popen(
        [sys.executable, "-c", code, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "there\n"
    with staged_folder(folder, replace=True) as staging:
        (staging / "ours").write_text("x")
    _, told = other.communicate("\n")
    assert other.returncode == 1
    assert "another run has written there meanwhile" in told
    assert names_in(folder) == ["ours"]
    assert names_in(tmp_path) == ["folder"]


def test_what_is_free(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "file" / "nothing")
    assert [is_free(tmp_path / name) for name in ("new", "empty", "file")] == [True, True, False]
    assert not is_free(tmp_path)


def test_a_place_that_cannot_be_written_is_refused_without_writing(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "taken.md").mkdir()
    check_writable(tmp_path / "new" / "folders" / "card.md")
    check_writable(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"below.md cannot be written \(.*file is a file\)"):
        check_writable(tmp_path / "file" / "below.md")
    with pytest.raises(ConfigError, match=r"taken.md cannot be written \(a folder has this name\)"):
        check_writable(tmp_path / "taken.md")
    assert names_in(tmp_path) == ["file", "taken.md"]


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may write everywhere
    for check in (check_writable, check_folder):
        with pytest.raises(ConfigError, match=r"new cannot be written \(.* does not allow it\)"):
            check(tmp_path / "new")
    with pytest.raises(ConfigError, match="does not allow it"):
        check_folder(tmp_path)


def test_folders(tmp_path):
    (tmp_path / "file").write_text("")
    for check in (check_folder, make_folder):
        with pytest.raises(ConfigError, match="file is a file; it must be a folder"):
            check(tmp_path / "file")
        with pytest.raises(ConfigError, match=r"below cannot be written \(.*\)"):
            check(tmp_path / "file" / "below")
    check_folder(tmp_path / "new" / "inner")
    assert names_in(tmp_path) == ["file"]
    make_folder(tmp_path / "new" / "inner")
    make_folder(tmp_path / "new" / "inner")
    assert (tmp_path / "new" / "inner").is_dir()


@pytest.mark.parametrize("check", [check_folder, check_writable])
def test_names_that_pathlib_raises_on(tmp_path, check):
    with pytest.raises(ConfigError, match=r"cannot be written \(the name is too long\)"):
        check(tmp_path / ("x" * 300))
    with pytest.raises(ConfigError, match=r"cannot be written \(the name is too long\)"):
        check(tmp_path / ("x" * 300) / "below")


def test_a_place_that_may_not_be_looked_at(tmp_path, monkeypatch):
    """As by a folder that others may not search; root may."""
    look = os.stat, os.lstat

    def refuse(which):
        def stat(path, *args, **kwargs):
            if "secret" in os.fspath(path):
                raise PermissionError(13, "Permission denied", path)
            return which(path, *args, **kwargs)

        return stat

    monkeypatch.setattr(os, "stat", refuse(look[0]))
    monkeypatch.setattr(os, "lstat", refuse(look[1]))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for check in (check_folder, check_writable):
        with pytest.raises(ConfigError, match="does not allow it"):
            check(tmp_path / "secret" / "file")


def test_a_link_to_nothing_is_no_folder(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nothing")
    for check, path in ((check_folder, link), (check_folder, link / "in"), (check_writable, link / "in")):
        with pytest.raises(ConfigError, match=r"cannot be written \(.*link is a link to nothing\)"):
            check(path)
    check_writable(link)  # a file takes the link's place
    write_whole(link, b"new")
    assert link.read_bytes() == b"new"
