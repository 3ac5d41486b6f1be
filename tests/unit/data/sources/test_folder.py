"""Folders of media with captions beside them."""

import json

import pytest
from made_records import png, turns

from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError, OryxError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "media" / "inner").mkdir(parents=True)
    return tmp_path / "media"


def test_captions_stand_beside_the_media(folder, video, records, tmp_path):
    for number in (10, 2):
        (folder / f"{number}.png").write_bytes(png(number))
        (folder / f"{number}.txt").write_text(f"Picture {number}.\n", encoding="utf-8-sig")
    video("clip.mp4").rename(folder / "inner" / "clip.mp4")
    (folder / "inner" / "clip.txt").write_text("A clip.")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "2.png").write_bytes(png(2))
    (folder / "readme.md").write_text("No medium.")
    found = records(folder)
    assert [record.place for record in found] == [
        str(folder / name) for name in ("2.png", "10.png", "inner/clip.mp4")
    ]
    assert [record.conversations for record in found] == [
        turns("<image>\nDescribe the image.", "Picture 2."),
        turns("<image>\nDescribe the image.", "Picture 10."),
        turns("<image>\nDescribe the video.", "A clip."),
    ]
    assert found[2].visuals == [{"type": "video", "video": str(folder / "inner" / "clip.mp4")}]


def test_a_medium_without_caption_is_a_broken_record(folder):
    (folder / "a.png").write_bytes(png(0))
    with pytest.raises(OryxError, match=r"a.png: there is no a.txt beside it"):
        open_source(SourceSettings(path=str(folder))).read(0)


def test_a_root_for_media_that_nothing_names_is_refused(folder):
    (folder / "a.png").write_bytes(png(0))
    settings = SourceSettings(path=str(folder), media_root="elsewhere")
    with pytest.raises(ConfigError, match=r"media_root is for records that name their media; .*media lie"):
        open_source(settings)


def test_metadata_names_the_media(folder, records):
    lines = [
        {"file_name": "a.png", "text": "A."},
        {"file_names": ["a.png", "b.png"], "conversations": turns("<image><image>Which?")},
        {"file_name": "inner/v.mp4", "caption": "V."},
    ]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first, second, third = records(folder)
    assert first.visuals == [{"type": "image", "image": str(folder / "a.png")}]
    assert first.conversations == turns("<image>\nDescribe the image.", "A.")
    assert [visual["image"] for visual in second.visuals] == [str(folder / n) for n in ("a.png", "b.png")]
    assert third.visuals == [{"type": "video", "video": str(folder / "inner/v.mp4")}]
    assert third.place == f"{folder / 'metadata.jsonl'} line 3"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "the line must be an object with a file_name"),
        ({"text": "A."}, "file_name must be the name of a picture or a video"),
        ({"file_name": "a.doc", "text": "A."}, "a.doc does not end like a picture or a video"),
    ],
)
def test_other_metadata_is_refused(folder, line, said):
    (folder / "metadata.jsonl").write_text(json.dumps(line))
    with pytest.raises(OryxError, match=said):
        open_source(SourceSettings(path=str(folder))).read(0)


def test_an_empty_folder_is_one_sentence(folder):
    with pytest.raises(ConfigError, match=r"media holds no picture and no video to train on\.$"):
        open_source(SourceSettings(path=str(folder)))
    (folder / "metadata.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match=r"metadata.jsonl holds no records"):
        open_source(SourceSettings(path=str(folder)))


@pytest.mark.parametrize("name", ["a.png", "a.txt"])
def test_a_changed_medium_or_caption_is_seen(folder, name):
    """Counts are kept by the fingerprint."""
    (folder / "a.png").write_bytes(png(0))
    (folder / "a.txt").write_text("A.")

    def fingerprint():
        return open_source(SourceSettings(path=str(folder))).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    (folder / name).write_bytes(png(1, 48, 40) if name == "a.png" else b"Another caption.")
    second = fingerprint()
    assert second != first
    (folder / "a.txt").unlink()
    assert fingerprint() not in (first, second)
