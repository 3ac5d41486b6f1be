"""Hashes of media: equal for equal content under any name, unlike for anything that changes the pixels."""

import hashlib
import os
import time

import numpy as np
import pytest
from factories import make_picture
from PIL import Image

from oryx.engine.content import ContentHasher
from oryx.errors import ConfigError, MediaError


@pytest.fixture
def hasher():
    return ContentHasher()


def of(hasher, source, kind="image"):
    return hasher.of_visual({"type": kind, kind: source})


def age(path, seconds=60):
    """Makes a file look as if it had been written long ago, as far as a program may."""
    stamp = time.time() - seconds
    os.utime(path, (stamp, stamp))


@pytest.fixture
def settled(monkeypatch):
    """Files are old enough at once: a test cannot set back when a file changed."""
    monkeypatch.setattr("oryx.engine.content.SETTLED_SECONDS", -3600.0)


@pytest.fixture
def count_reads(monkeypatch):
    reads = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: reads.append(1) or digest(*a))
    return reads


def test_a_file_is_read_once(hasher, tmp_path, settled, count_reads):
    path = tmp_path / "a.png"
    make_picture().save(path)
    assert of(hasher, path) == of(hasher, str(path)) == of(hasher, f"file://{path}")
    assert len(count_reads) == 1


def test_a_copy_is_the_same_medium(hasher, tmp_path):
    for name in ("a.png", "b.png"):
        make_picture().save(tmp_path / name)
    assert of(hasher, tmp_path / "a.png") == of(hasher, tmp_path / "b.png")


def test_a_file_that_changed_is_another(hasher, tmp_path, settled):
    """Same size and modification time, but other bytes: the change time tells."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"1" * 100)
    age(path)
    stat = path.stat()
    first = of(hasher, path)
    time.sleep(0.02)  # more than a tick of the file system's clock
    path.write_bytes(b"2" * 100)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert of(hasher, path) != first


def test_a_file_that_may_still_change_is_read_again(hasher, tmp_path, count_reads):
    path = tmp_path / "a.bin"
    path.write_bytes(b"1" * 100)
    of(hasher, path)
    of(hasher, path)
    assert len(count_reads) == 2


def test_a_replaced_file_is_another(hasher, tmp_path, settled):
    path, other = tmp_path / "a.bin", tmp_path / "b.bin"
    path.write_bytes(b"1" * 100)
    other.write_bytes(b"2" * 100)
    first = of(hasher, path)
    other.replace(path)
    assert of(hasher, path) != first


def test_everything_that_changes_a_picture_counts(hasher):
    picture = make_picture(24, 40)
    turned = picture.copy()
    turned.getexif()[0x0112] = 6
    palette = picture.convert("P")
    other_palette = palette.copy()
    other_palette.putpalette(list(reversed(palette.getpalette())))
    see_through = palette.copy()
    see_through.info["transparency"] = 0
    reshaped = Image.frombytes("RGB", (24, 40), picture.tobytes())
    pictures = [
        picture,
        turned,
        palette,
        other_palette,
        see_through,
        reshaped,
        picture.convert("L"),
        make_picture(24, 40, seed=1),
    ]
    assert len({of(hasher, one) for one in pictures}) == len(pictures)
    assert of(hasher, picture) == of(hasher, picture.copy())


def test_lists_arrays_and_bytes(hasher):
    frames = [make_picture(seed=seed) for seed in range(3)]
    array = np.stack([np.asarray(frame) for frame in frames])
    sources = [
        frames,
        frames[:2],
        frames[::-1],
        array,
        array[:2],
        array.astype(np.int16),
        b"abc",
        b"abd",
        [b"a", b"bc"],
        [b"ab", b"c"],
    ]
    digests = {of(hasher, source, "video") for source in sources}
    assert len(digests) == len(sources)
    assert of(hasher, list(array), "video") == of(hasher, list(array.copy()), "video")
    assert of(hasher, array[:, ::-1], "video") == of(hasher, array[:, ::-1].copy(), "video")


def test_a_folder_is_its_pictures_in_order(hasher, tmp_path):
    for number in range(2):
        make_picture(seed=number).save(tmp_path / f"view{number}.png")
    first = of(hasher, tmp_path, "views")
    assert of(hasher, [tmp_path / "view0.png", tmp_path / "view1.png"], "views") == first
    (tmp_path / "notes.txt").write_text("no picture")
    assert of(hasher, tmp_path, "views") == first
    (tmp_path / "view0.png").rename(tmp_path / "view2.png")
    assert of(hasher, tmp_path, "views") != first


def test_a_source_without_stable_content_has_no_hash(hasher):
    assert of(hasher, iter([]), "video") is None
    assert of(hasher, [make_picture(), object()], "video") is None


def test_a_missing_file_and_a_missing_source(hasher, tmp_path):
    with pytest.raises(MediaError, match=r"none\.mp4' does not exist; a video"):
        of(hasher, tmp_path / "none.mp4", "video")
    with pytest.raises(ConfigError, match="exactly one"):
        hasher.of_visual({"type": "image"})
