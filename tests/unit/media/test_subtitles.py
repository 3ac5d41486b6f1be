"""SubRip and WebVTT give timed plain text; anything else is one sentence."""

from pathlib import Path

import pytest

from oryx.errors import MediaError
from oryx.media.subtitles import Subtitle, find_subtitles, read_subtitles

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> &amp; {\\an8}welcome
to the <font color="red">show</font>

2
01:00:03,5 --> 01:00:04,000
Second
"""

VTT = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE 00:00 --> this is a comment

intro
00:01.250 --> 00:02.000 align:start position:10%
<v Ann>Hi <00:01.500><c.big>there</c></v>

00:00:00.000 --> 00:00:01.000
First
"""


def write(folder: Path, text: str, name: str = "clip.srt", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_subrip(tmp_path: Path):
    assert read_subtitles(write(tmp_path, SRT)) == [
        Subtitle(1.0, 2.5, "Hello & welcome\nto the show"),
        Subtitle(3603.5, 3604.0, "Second"),
    ]


def test_webvtt_is_told_by_its_content_and_sorted(tmp_path: Path):
    assert read_subtitles(write(tmp_path, VTT)) == [
        Subtitle(0.0, 1.0, "First"),
        Subtitle(1.25, 2.0, "Hi there"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str):
    text = SRT.replace("Second", "Déjà vu").replace("\n", "\r\n")
    assert read_subtitles(write(tmp_path, text, encoding=encoding))[1].text == "Déjà vu"


def test_a_missing_empty_line_does_not_swallow_the_next_subtitle(tmp_path: Path):
    text = "1\n00:00:01,000 --> 00:00:02,000\nOne\n2\n00:00:02,000 --> 00:00:03,000\nTwo"
    assert [subtitle.text for subtitle in read_subtitles(write(tmp_path, text))] == ["One", "Two"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no subtitle"),
        ("just a text\nof two lines\n", "has no subtitle"),
        ("1\n00:00:0x,000 --> 00:00:02,000\nHello\n", "line 2: .* is not a timing"),
        ("1\n00:00:09,000 --> 00:00:02,000\nHello\n", "line 2: .* ends before it starts"),
    ],
)
def test_a_malformed_file_is_one_sentence(tmp_path: Path, text: str, reason: str):
    path = write(tmp_path, text)
    with pytest.raises(MediaError, match=reason) as error:
        read_subtitles(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    with pytest.raises(MediaError, match="does not exist; a subtitle file"):
        read_subtitles(tmp_path / "missing.srt")


def test_the_file_beside_a_video_is_found(tmp_path: Path):
    video = tmp_path / "clip.mp4"
    assert find_subtitles(video) is None
    write(tmp_path, SRT, "other.srt")
    assert find_subtitles(video) is None
    english = write(tmp_path, SRT, "clip.en.srt")
    assert find_subtitles(str(video)) == english
    plain = write(tmp_path, VTT, "clip.VTT")
    assert find_subtitles(video) == plain
    assert find_subtitles(tmp_path / "nowhere" / "clip.mp4") is None
