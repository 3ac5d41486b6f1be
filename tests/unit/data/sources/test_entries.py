"""What records may look like, and what is said of those that do not."""

from pathlib import Path

import pytest
from factories import make_processor
from made_records import turns
from PIL import Image

from oryx.data.marks import Mark
from oryx.data.sources.entries import as_record
from oryx.data.sources.media import Opener
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError, OryxError
from oryx.media.subtitles import Subtitle


def read_entry(entry, root="/media", **settings):
    return as_record(entry, "here", Opener(Path(root)), SourceSettings(path="x", **settings))


def read_visual(visual):
    return read_entry({"conversations": turns(), "visuals": [visual]}).visuals[0]


@pytest.mark.parametrize("address", ["http://a.b/c.png", "https://a.b/c.png", "file:///c.png", "data:,x"])
@pytest.mark.parametrize("key", ["url", "image"])
def test_an_address_stays_as_it_is(key, address):
    assert read_visual({"type": "image", key: address})[key] == address


@pytest.mark.parametrize(
    ("visual", "key"),
    [
        ({"type": "image", "url": "a.png"}, "url"),
        ({"type": "image_url", "image_url": {"url": "a.png"}}, "image_url"),
        ({"type": "input_image", "input_image": "a.png"}, "input_image"),
        ({"type": "video_url", "video_url": {"url": "a.png"}}, "video_url"),
        ({"type": "video", "video": "v.mp4", "subtitles": "a.png"}, "subtitles"),
    ],
)
def test_every_path_starts_from_the_root(visual, key):
    assert read_visual(visual)[key] == "/media/a.png"


def test_subtitles_may_be_written_out():
    written = ["First.", {"start": 1, "end": 2.5, "text": "Then."}]
    visual = read_visual({"type": "video", "video": "v.mp4", "subtitles": written})
    assert visual["subtitles"] == ["First.", Subtitle(1.0, 2.5, "Then.")]
    for kept in (True, False):
        assert read_visual({"type": "video", "video": "v", "subtitles": kept})["subtitles"] is kept
    assert "subtitles" not in read_visual({"type": "video", "video": "v", "subtitles": None})


def test_marks_become_marks_that_supervise(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    mark = {"view": 0, "y": 0.25, "x": 1, "text": "red"}
    talk = turns("<image>What?")
    visual = {"type": "image", "image": "a.png", "detail": "low", "marks": [mark]}
    record = read_entry({"conversations": talk, "visuals": [visual]}, root=tmp_path)
    assert record.visuals[0]["marks"] == [Mark(0, 0.25, 1.0, "red")]
    processor = make_processor()
    plain = [{**record.visuals[0], "marks": None}]
    labels = processor.encode_sample(talk, record.visuals).labels
    assert (labels != processor.encode_sample(talk, plain).labels).sum() == 1


@pytest.mark.parametrize(
    ("dials", "said"),
    [
        ({"marks": 3}, '"marks" must be a list of objects with view, y, x and text'),
        ({"marks": [3]}, "marks[0] is 3; it must be a section of keys and values"),
        ({"marks": [{"view": 0, "y": 0, "x": 0}]}, "marks[0].text is missing"),
        (
            {"marks": [{"view": 0, "y": 0, "x": 0, "txt": "a"}]},
            "marks[0].txt is not a known key; did you mean 'text'",
        ),
        (
            {"marks": [{"view": "a", "y": 0, "x": 0, "text": "a"}]},
            "marks[0].view is 'a'; it must be a whole number",
        ),
        (
            {"marks": [{"view": 0, "y": 1.5, "x": 0, "text": "a"}]},
            "marks[0] is at y 1.5 and x 0; both must be from 0 to 1",
        ),
        ({"subtitles": 3}, '"subtitles" must be true, a path, or a list of texts or objects'),
        ({"subtitles": {"start": 1}}, '"subtitles" must be true, a path'),
        ({"subtitles": [{"start": 1, "text": "a"}]}, "subtitles[0].end is missing"),
        ({"subtitles": [[1]]}, "subtitles[0] is [1]; it must be a section of keys"),
    ],
)
def test_other_marks_and_subtitles_are_refused_by_place(dials, said):
    with pytest.raises(ConfigError) as error:
        read_visual({"type": "video", "video": "v.mp4", **dials})
    assert said in str(error.value)


# -- conversations -------------------------------------------------------------------------------------

IMAGE_A, IMAGE_B = {"type": "image", "image": "/media/a.png"}, {"type": "image", "image": "/media/b.png"}
VIDEO = {"type": "video", "video": "/media/v.mp4"}


def chat(*parts, answer="It."):
    return [{"role": "user", "content": list(parts)}, {"role": "assistant", "content": answer}]


TEXT = {"type": "text", "text": "What?"}


@pytest.mark.parametrize(
    ("entry", "question", "visuals"),
    [
        ({"messages": chat(TEXT)}, "What?", []),
        ({"messages": [{"role": "user", "content": "What?"}, *chat(TEXT)[1:]]}, "What?", []),
        ({"messages": chat({"type": "image", "image": "a.png"}, TEXT)}, "<image>What?", [IMAGE_A]),
        (
            {"messages": chat({"type": "image", "image": "a.png", "text": None, "video": None}, TEXT)},
            "<image>What?",
            [IMAGE_A],
        ),
        (
            {"messages": chat({"type": "image_url", "image_url": {"url": "a.png"}}, TEXT)},
            "<image>What?",
            [{"type": "image_url", "image_url": "/media/a.png"}],
        ),
        (
            {"messages": chat(TEXT, {"type": "video", "video": "v.mp4", "compression": 4})},
            "What?<image>",
            [{**VIDEO, "compression": 4}],
        ),
        (
            {"messages": chat({"type": "views", "views": ["a.png", "b.png"]}, TEXT)},
            "<image>What?",
            [{"type": "views", "views": ["/media/a.png", "/media/b.png"]}],
        ),
        # Parts without a medium take the next of their type from the columns beside.
        (
            {
                "messages": chat(
                    {"type": "video"}, {"type": "image", "detail": "low"}, TEXT, {"type": "image"}
                ),
                "images": ["a.png", "b.png"],
                "video": "v.mp4",
            },
            "<image><image>What?<image>",
            [VIDEO, {**IMAGE_A, "detail": "low"}, IMAGE_B],
        ),
        (
            {"messages": chat({"type": "text", "text": "A <image> B"}), "image": "a.png"},
            "A <image> B",
            [IMAGE_A],
        ),
        (
            {"messages": chat(TEXT), "images": ["a.png", "b.png"]},
            "<image>\n<image>\nWhat?",
            [IMAGE_A, IMAGE_B],
        ),
        (
            {"texts": [{"user": "What?", "assistant": "It."}], "images": ["a.png"]},
            "<image>\nWhat?",
            [IMAGE_A],
        ),
        ({"caption": " It. ", "image": "a.png"}, "<image>\nDescribe the image.", [IMAGE_A]),
        ({"text": "It.", "video": "v.mp4"}, "<image>\nDescribe the video.", [VIDEO]),
        (
            {"conversations": turns("<image>What?"), "image": {"path": "a.png", "bytes": None}},
            "<image>What?",
            [IMAGE_A],
        ),
        (
            {"conversations": turns("<image>What?"), "image": {"path": "a.png", "bytes": b"x"}},
            "<image>What?",
            [{"type": "image", "image": b"x"}],
        ),
    ],
)
def test_every_form_becomes_turns_and_visuals(entry, question, visuals):
    record = read_entry(entry)
    assert record.conversations == turns(question)
    assert record.visuals == visuals


def test_several_texts_are_several_turns():
    texts = [{"user": "A?", "assistant": "a"}, {"user": "B?", "assistant": "b", "source": "x"}]
    record = read_entry({"texts": texts, "images": ["a.png"]})
    assert [turn["value"] for turn in record.conversations] == ["<image>\nA?", "a", "B?", "b"]


def test_a_source_s_dials_are_for_visuals_that_set_none():
    visuals = [{"type": "image", "image": "a.png", "compression": 1}, {"type": "video", "video": "v.mp4"}]
    record = read_entry(
        {"conversations": turns("<image><image>"), "visuals": visuals},
        dials={"compression": 16, "max_frames": 8},
    )
    assert record.visuals[0]["compression"] == 1
    assert "max_frames" not in record.visuals[0]
    assert (record.visuals[1]["compression"], record.visuals[1]["max_frames"]) == (16, 8)


def test_a_prompt_asks_for_captions():
    record = read_entry({"caption": "It.", "image": "a.png"}, prompt="Say it.")
    assert record.conversations[0]["value"] == "<image>\nSay it."


NEEDLE = {"video_long": "v.mp4", "idx": 0, "type": "caption", "question": "<idx>?", "answer": "It."}


@pytest.mark.parametrize(
    ("entry", "beside"),
    [
        ({"conversations": turns("<image>"), "image": "a.png", "caption": "It."}, {"caption": "It."}),
        ({"messages": chat(TEXT), "images": ["a.png"], "question": "Which?"}, {"question": "Which?"}),
        ({"caption": "It.", "text": "It.", "image": "a.png", "type": "photo"}, {"type": "photo"}),
        (NEEDLE, {}),
    ],
)
def test_what_else_an_entry_says_stands_beside(entry, beside):
    record = read_entry({**entry, "id": 7, "scene": {"a": [1]}, "gone": None})
    assert record.beside == {**beside, "scene": {"a": [1]}}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (3, "a record must be an object"),
        ({}, 'a record needs "conversations", "messages", "texts", a "caption"'),
        ({"conversations": []}, '"conversations" must be a list of turns, each with "from" and "value"'),
        ({"conversations": [{"from": "human"}]}, 'each with "from" and "value"'),
        ({"conversations": turns(), "visuals": ["a.png"]}, '"visuals" must be a list of objects'),
        ({"conversations": turns(), "visuals": 5}, '"visuals" must be a list of objects'),
        (
            {"conversations": turns(), "visuals": [{"type": "views", "views": [1]}]},
            "a medium is 1; it must be a path",
        ),
        ({"messages": []}, '"messages" must be a list of at least one message'),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "message 0 must have the role user"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "message 0 must have the role user"),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "the content of message 0 must be a text or a list of parts",
        ),
        (
            {"messages": [{"role": "user", "content": TEXT}]},
            "the content of message 0 must be a text or a list of parts",
        ),
        (
            {"messages": chat({"type": ["text"]})},
            "part 0 of message 0 must be text, image, video or views, not ['text']",
        ),
        (
            {"messages": chat({"type": "audio"})},
            "part 0 of message 0 must be text, image, video or views, not 'audio'",
        ),
        ({"messages": chat({"type": "text"})}, "part 0 of message 0 is text, but has none"),
        ({"messages": chat({"type": "image"})}, "is of type image, but no medium is left for it"),
        ({"texts": [{"user": "x"}]}, '"texts" must be a list of objects with the texts user and assistant'),
        ({"caption": "x"}, "a caption needs a picture or a video"),
        ({"caption": " ", "image": "a.png"}, "the caption is empty"),
    ],
)
def test_other_forms_are_refused(entry, said):
    with pytest.raises(OryxError) as error:
        read_entry(entry)
    assert said in str(error.value)


HALF = "\ud83d"


@pytest.mark.parametrize(
    "entry",
    [
        {"conversations": turns(f"What {HALF}?")},
        {"conversations": turns(answer=HALF)},
        {"conversations": turns(), "id": [HALF]},
        {"messages": chat({"type": "text", "text": HALF})},
        {"texts": [{"user": "What?", "assistant": HALF}]},
        {"caption": f"It {HALF}", "image": "a.png"},
        {"conversations": turns("<image>"), "visuals": [{**VIDEO, "subtitles": [HALF]}]},
        {
            "conversations": turns("<image>"),
            "visuals": [{**IMAGE_A, "marks": [{"view": 0, "y": 0, "x": 0, "text": HALF}]}],
        },
        {**NEEDLE, "answer": HALF},
    ],
)
def test_half_a_character_is_refused(entry):
    with pytest.raises(ConfigError, match=r"it holds '\\ud83d', half a character"):
        read_entry(entry)


def test_a_path_may_hold_bytes_that_are_no_utf_8():
    assert read_entry({"caption": "It.", "image": "caf\udce9.png"}).visuals[0]["image"].endswith("\udce9.png")
