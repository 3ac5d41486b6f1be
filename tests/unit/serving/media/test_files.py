"""Paths: what is below the root is read, and nothing else, however it is named."""

import os
from pathlib import Path

import pytest

from oryx.serving.errors import RequestError
from oryx.serving.media import files
from oryx.serving.media.files import check_inside, read_source
from oryx.serving.media.policy import MediaPolicy
from oryx.serving.media.room import Room


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a picture, a video, a folder of views, and a secret beside it."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "in" / "views").mkdir(parents=True)
    (root / "a.png").write_bytes(b"picture")
    (root / "in" / "b c.mp4").write_bytes(b"video")
    for name in ("1.png", "2.jpg", "notes.txt", ".hidden.png"):
        (root / "in" / "views" / name).write_bytes(b"view")
    return root


def read(source: str, root: Path, kind: str = "image", max_views: int = 8, **policy) -> bytes | Path:
    return read_source(source, kind, root, max_views, Room(MediaPolicy(**policy)))


def refusal(*args, **kwargs) -> RequestError:
    with pytest.raises(RequestError) as error:
        read(*args, **kwargs)
    return error.value


def test_what_is_below_the_root_is_read(root: Path):
    for source in ("a.png", "./a.png", "in/../a.png", str(root / "a.png"), f"file://{root}/a.png"):
        assert read(source, root) == b"picture"
    (root / "link.png").symlink_to(root / "a.png")
    assert read("link.png", root) == b"picture"
    video = root / "in" / "b c.mp4"
    assert read("in/b c.mp4", root, "video") == video
    assert read(f"file://localhost{root}/in/b%20c.mp4", root, "video") == video
    assert read("in/views", root, "views") == root / "in" / "views"
    assert read("in/views", root, "video") == root / "in" / "views"


@pytest.mark.parametrize(
    "source",
    [
        *("../secret.png", "in/../../secret.png", "/etc/passwd", "//etc/passwd", "file:///etc/passwd"),
        *("FILE:///etc/passwd", "file:///%2e%2e/%2e%2e/etc/passwd", "/proc/self/environ", "/dev/zero", "/"),
        *("out.png", "out/secret.png", "loop", "/no/such/file", "../no-such-file", "in/../../root2/a.png"),
    ],
)
def test_what_is_outside_is_not_told_from_what_is_not_there(source: str, root: Path):
    (root / "out.png").symlink_to(root.parent / "secret.png")
    (root / "out").symlink_to(root.parent)
    (root / "loop").symlink_to(root / "loop")
    (root.parent / "root2").mkdir()
    (root.parent / "root2" / "a.png").write_bytes(b"secret")
    error = refusal(source, root)
    assert error.status == 400
    if source != "loop":
        assert str(error) == f"'{source}' is not below this server's media root."
        assert error.code == "file_not_allowed"


@pytest.mark.parametrize(
    "source",
    [
        "file://evil.example/etc/passwd",
        "file:///a.png?x=1",
        "file:///a.png#x",
        "file:a.png",
        "file://",
        "file:",
    ],
)
def test_urls_of_files_elsewhere(source: str, root: Path):
    assert "must be file:///<path>" in str(refusal(source, root))


@pytest.mark.parametrize("source", ["a\x00.png", "x" * 5000, "no.png", "a.png/b", "concat:a.png|b.png"])
def test_paths_that_are_none(source: str, root: Path):
    error = refusal(source, root)
    assert error.status == 400
    assert len(str(error)) < 300


def test_no_device_pipe_or_socket(root: Path):
    os.mkfifo(root / "fifo.mp4")
    for kind in ("image", "video", "views"):
        assert "neither a file nor a folder" in str(refusal("fifo.mp4", root, kind))
    with pytest.raises(RequestError, match="media root"):
        read("/dev/zero", Path("/"))
    for source in ("/proc/self/environ", "/proc/1/cmdline", "/sys/kernel/uevent_seqnum"):
        with pytest.raises(RequestError, match=r"media root|does not exist"):
            read(source, Path("/"), "video")


def test_kinds_are_what_they_say(root: Path):
    assert "is a folder" in str(refusal("in/views", root))
    assert "is a file" in str(refusal("a.png", root, "views"))
    (root / "empty.png").touch()
    assert "is empty" in str(refusal("empty.png", root))


def test_limits_are_413(root: Path):
    assert refusal("a.png", root, max_bytes=6).status == 413
    assert refusal("a.png", root, max_total_bytes=6).status == 413
    error = refusal("in/views", root, "views", max_views=1)
    assert (error.status, "1 pictures" in str(error)) == (413, True)
    assert read("in/views", root, "video", max_views=1)  # a video's frames are chosen from its folder


def test_a_folder_with_a_picture_from_outside_is_refused(root: Path):
    (root / "in" / "views" / "3.png").symlink_to(root.parent / "secret.png")
    for kind in ("views", "video"):
        assert "a picture of 'in/views'" in str(refusal("in/views", root, kind))
    (root / "in" / "views" / "3.png").unlink()
    os.mkfifo(root / "in" / "views" / "3.png")
    assert "no regular file" in str(refusal("in/views", root, "views"))


def test_a_link_made_after_the_check_is_not_followed(root: Path, monkeypatch):
    """The path is exchanged between finding it and opening it."""
    real = files.find_inside
    swaps = {
        "a.png": lambda: ((root / "a.png").unlink(), (root / "a.png").symlink_to(root.parent / "secret.png")),
        "in/b c.mp4": lambda: ((root / "in").rename(root / "old"), (root / "in").symlink_to(root.parent)),
    }
    (root.parent / "b c.mp4").write_bytes(b"secret")
    for source, swap in swaps.items():

        def swapped(path: str, top: Path, name: str, swap=swap) -> Path:
            found = real(path, top, name)
            swap()
            return found

        monkeypatch.setattr(files, "find_inside", swapped)
        with pytest.raises(RequestError, match=r"neither a file|cannot be opened|does not exist"):
            read(source, root)


def test_paths_are_checked_again_where_they_are_opened(root: Path):
    check_inside(root / "a.png", root)
    check_inside(root / "in" / "views", root)
    with pytest.raises(RequestError, match="opens no files"):
        check_inside(root / "a.png", None)
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(root.parent / "secret.png")
    with pytest.raises(RequestError) as error:
        check_inside(root / "a.png", root)
    assert str(root.parent) not in str(error.value)


def test_nothing_stays_open(root: Path):
    before = len(os.listdir("/proc/self/fd"))
    for source in ("a.png", "no.png", "../secret.png", "in/views"):
        for kind in ("image", "views"):
            try:
                read(source, root, kind)
            except RequestError:
                continue
    assert len(os.listdir("/proc/self/fd")) == before
