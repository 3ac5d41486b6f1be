"""Records as the published reader takes them, kept as they come; runs that are cut off or let down."""

import base64
import io
import itertools
import json
import re
import threading
import time

import pytest
from PIL import Image

from oryx.data.builders.needle import NeedleSettings, OpenAICaptioner, build_needles
from oryx.data.builders.needle.build import _Run
from oryx.data.builders.needle.questions import PROMPTS
from oryx.data.builders.needle.workers import Workers
from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.errors import CaptionError, ConfigError, MediaError, OryxError
from oryx.media.image import open_image

SMALL = {"frames": (12, 20), "min_step": 0.25}


def settings(**changes):
    return NeedleSettings(**{**SMALL, "count": 6, **changes})


def build(videos, out, captioner, changes=None, **options):
    return build_needles(videos, out, captioner, settings(**changes or {}), backoff=0, **options)


def records_of(out):
    return json.loads((out / "needle.json").read_text(encoding="utf-8"))


def events_of(out, kind):
    events = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [event for event in events if event["event"] == kind]


def read_published(video, folder):
    """Frames as the reference's `read_video_patch` reads them."""
    pictures, position = [], int(video["start_num"])
    with (folder / video["patch"]).open("rb") as file:
        for size in video["size"]:
            file.seek(position)
            pictures.append(Image.open(io.BytesIO(file.read(int(size)))).convert("RGB"))
            position += int(size)
    return pictures


def stored(place, folder):
    """The bytes of a clip's frames."""
    if isinstance(place, str):
        return [file.read_bytes() for file in sorted((folder / place).iterdir())]
    content = (folder / place["patch"]).read_bytes()
    bounds = list(itertools.accumulate(place["size"], initial=place["start_num"]))
    return [content[start:stop] for start, stop in itertools.pairwise(bounds)]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_records_have_the_published_keys_and_frames(videos, out, sayer):
    report = build(videos, out, sayer(), {"count": 8})
    records = records_of(out)
    assert (len(records), report.records, report.captions, report.differences) == (8, 8, 4, 4)
    for record in records:
        assert list(record) == ["video_long", "idx", "type", "question", "answer"]
        frames = read_published(record["video_long"], out)
        assert 12 <= len(frames) <= 20
        assert record["idx"] == sorted(record["idx"])
        assert all(0 <= index < len(frames) for index in record["idx"])
        places = ("<idx>",) if record["type"] == "caption" else ("<idx1>", "<idx2>")
        assert len(record["idx"]) == len(places)
        assert all(record["question"].count(place) == 1 for place in places)
        assert record["answer"].startswith("A colored ground")
    assert [record["type"] for record in records] == ["caption", "diff"] * 4
    assert report.frame_bytes == (out / "patches/patch_00000").stat().st_size


@pytest.mark.parametrize("layout", ["patch", "folder"])
def test_a_source_of_training_data_reads_them(videos, out, sayer, layout):
    build(videos, out, sayer(), {"count": 4, "layout": layout})
    source = open_source(SourceSettings(path=str(out / "needle.json"), needle_frames=(8, 9)))
    assert len(source) == 4
    for index, record in enumerate(records_of(out)):
        kept = [open_image(frame).tobytes() for frame in stored(record["video_long"], out)]
        for turn in range(3):
            drawn = source.read(index).draw(f"record {index}", turn)
            (visual,) = drawn.opened()
            human, gpt = drawn.conversations
            shown = [open_image(frame).tobytes() for frame in visual["video"]]
            assert len(shown) in (8, 9)
            assert f"with a total of {len(shown)} frames" in human["value"]
            question = re.escape(record["question"])
            found = re.search(re.sub(r"<(idx\d?)>", r"(?P<\1>\\d+)", question), human["value"]).groupdict()
            places = [int(found[name]) for name in sorted(found)]  # a question may name the later one first
            assert [shown[place] for place in places] == [kept[target] for target in record["idx"]]
            assert gpt["value"] == record["answer"]


def test_the_captioner_sees_the_frames_that_are_kept(videos, out, server):
    build(videos, out, OpenAICaptioner(server.url, "seer", workers=1), {"count": 2})
    for record, body in zip(records_of(out), server.bodies, strict=True):
        *pictures, text = body["messages"][0]["content"]
        assert text["text"] == PROMPTS[record["type"]]
        seen = [base64.b64decode(picture["image_url"]["url"].partition(",")[2]) for picture in pictures]
        kept = read_published(record["video_long"], out)
        assert [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in seen] == [
            kept[index] for index in record["idx"]
        ]


def test_folders_instead_of_patches(videos, out, sayer):
    build(videos, out, sayer(), {"layout": "folder", "count": 2})
    record = records_of(out)[0]
    files = sorted((out / record["video_long"]).iterdir())
    assert [file.name for file in files[:2]] == ["000000.jpg", "000001.jpg"]
    assert 12 <= len(files) <= 20
    assert all(Image.open(file).format == "JPEG" for file in files)


def test_same_seed_same_records_whatever_the_workers(videos, tmp_path, sayer):
    def made(name, seed, workers):
        captioner = sayer(workers=workers)
        captioner.describe = lambda pictures, prompt: f"A ground of {sum(pictures[0]) % 997} colors, seen."
        build(videos, tmp_path / name, captioner, {"seed": seed})
        return records_of(tmp_path / name)

    assert made("one", 0, 1) == made("two", 0, 4)
    assert made("three", 1, 1) != made("one again", 0, 1)


def test_more_are_made_of_a_run_that_is_whole(videos, out, tmp_path, sayer):
    build(videos, out, sayer(), {"count": 3})
    report = build(videos, out, sayer(), {"count": 7})
    assert report.records == 7
    build(videos, tmp_path / "at once", sayer(), {"count": 7})
    at_once = records_of(tmp_path / "at once")
    assert [record["idx"] for record in records_of(out)] == [record["idx"] for record in at_once]
    assert (out / "patches/patch_00000").read_bytes() == (
        tmp_path / "at once/patches/patch_00000"
    ).read_bytes()


def test_a_whole_run_asks_nobody(videos, out, sayer):
    build(videos, out, sayer())
    before = records_of(out)
    captioner = sayer()
    build(videos, out, captioner)
    assert captioner.asked == []
    assert records_of(out) == before


def test_a_cut_off_run_goes_on_and_loses_nothing(videos, out, tmp_path, sayer):
    class Killed(BaseException):
        pass

    captioner = sayer("One scene, red.", "Two scenes, green.", Killed())
    with pytest.raises(Killed):
        build(videos, out, captioner)
    assert [record["answer"] for record in records_of(out)] == ["One scene, red.", "Two scenes, green."]
    with (out / "log.jsonl").open("ab") as file:
        file.write(b'{"event": "record", "job": 2, "rec')  # as a kill leaves it
    with (out / "patches/patch_00000").open("ab") as file:
        file.write(b"half a frame")
    build(videos, out, sayer())
    build(videos, tmp_path / "whole", sayer())
    resumed, whole = records_of(out), records_of(tmp_path / "whole")
    assert [record["answer"] for record in resumed[:2]] == ["One scene, red.", "Two scenes, green."]
    for record in (*resumed, *whole):
        del record["answer"]
    assert resumed == whole


@pytest.fixture
def closed(monkeypatch):
    """Set when a run has closed its workers; the run then waits for one more result of theirs."""
    event = threading.Event()

    class Patient(Workers):
        def close(self):
            super().close()
            event.set()
            deadline = time.monotonic() + 5
            while self._results.empty() and time.monotonic() < deadline:
                time.sleep(0.01)

    monkeypatch.setattr("oryx.data.builders.needle.build.Workers", Patient)
    return event


def test_answers_that_came_meanwhile_are_kept_when_the_run_ends(videos, out, sayer, closed):
    both_asked = threading.Barrier(2)
    captioner = sayer(workers=2)

    def describe(pictures, prompt):
        both_asked.wait(5)
        if len(pictures) == 1:
            closed.wait(5)
            return "A single frame."
        raise ConfigError("the key is wrong")

    captioner.describe = describe
    with pytest.raises(ConfigError, match="the key is wrong"):
        build(videos, out, captioner, {"count": 2})
    assert [record["answer"] for record in records_of(out)] == ["A single frame."]


@pytest.mark.usefixtures("closed")
def test_what_the_end_of_a_run_cuts_short_is_tried_again(videos, out, sayer, monkeypatch):
    both_asked = threading.Barrier(2)
    captioner = sayer(workers=2)

    def describe(pictures, prompt):
        both_asked.wait(5)
        if len(pictures) == 1:
            raise CaptionError("the answer was cut off", False)  # and waits to ask again
        raise ConfigError("the key is wrong")

    captioner.describe = describe
    with pytest.raises(ConfigError, match="the key is wrong"):
        build_needles(videos, out, captioner, settings(count=2), backoff=60)
    assert events_of(out, "skipped") == []
    monkeypatch.undo()  # a run that ends well has nothing to wait for
    build(videos, out, sayer(), {"count": 2})
    assert [event["job"] for event in events_of(out, "record")] == [0, 1]


def test_nonsense_is_thrown_away_counted_and_named(videos, out, server):
    nonsense = ["", "I'm sorry, I can't see it.", " ".join(map("word{}".format, range(400)))]
    server.script = lambda number, _: nonsense[number] if number < 3 else f"A ground, number {number}."
    report = build(videos, out, OpenAICaptioner(server.url, "seer", workers=1), {"count": 2}, retries=2)
    assert report.faults == {"empty": 1, "refusal": 1, "too long": 1}
    (skip,) = report.skipped
    assert (skip["job"], skip["again"]) in {(number, False) for number in range(0, 40, 4)}
    assert skip["video"] in ("a.mp4", "c.mp4", "inner/b.mkv")
    assert "too long" in skip["reason"]
    assert report.records == 2  # another took its place
    captioner = OpenAICaptioner(server.url, "seer", workers=1)
    assert build(videos, out, captioner, {"count": 3}).skipped == [skip]  # it is not asked for again


def test_half_a_character_is_no_caption(videos, out, server):
    broken = b'{"choices": [{"message": {"content": "A ground \\ud83d."}}]}'
    server.script = lambda number, _: (200, {}, broken) if number == 0 else "A whole ground."
    report = build(videos, out, OpenAICaptioner(server.url, "seer", workers=1), {"count": 2})
    assert report.faults == {"broken text": 1}
    assert [record["answer"] for record in records_of(out)] == ["A whole ground."] * 2


def test_an_endpoint_that_is_away_ends_the_run_and_the_next_goes_on(videos, out, server):
    server.script = lambda number, _: "A ground." if number < 2 else 503
    captioner = OpenAICaptioner(server.url, "seer", workers=1)
    with pytest.raises(OryxError, match=r"3 records in a row got no caption, the last because .*503") as told:
        build(videos, out, captioner, max_failures=3, retries=1)
    assert str(told.value).endswith("2 of 6 records are kept, and the same command goes on from them.")
    assert len(records_of(out)) == 2
    assert all(event["again"] for event in events_of(out, "skipped"))
    server.script = lambda *_: "A ground again."
    report = build(videos, out, captioner)
    assert (report.records, report.skipped) == (6, [])
    jobs = sorted(event["job"] for event in events_of(out, "record"))
    assert jobs[-1] - jobs[0] == 5  # none was left out


def test_a_captioner_that_refuses_everything_gives_nothing_up(videos, out, server):
    server.script = lambda *_: 400
    captioner = OpenAICaptioner(server.url, "seer", workers=1)
    with pytest.raises(OryxError, match=r"3 records in a row got no caption, the last because .*400"):
        build(videos, out, captioner, max_failures=3, retries=0)
    server.script = lambda *_: "A ground."
    assert build(videos, out, captioner).skipped == []
    assert [event["job"] for event in events_of(out, "record")] == [*range(6)]


def test_a_captioner_that_always_says_the_same_is_not_asked_again(videos, out, sayer):
    captioner = sayer(*[""] * 20, is_deterministic=True)
    for _ in range(2):
        with pytest.raises(OryxError, match="3 records in a row got no caption"):
            build(videos, out, captioner, max_failures=3)
    assert [event["job"] for event in events_of(out, "skipped")] == [*range(6)]


def test_failures_are_counted_in_a_row(videos, out, sayer):
    captioner = sayer(*["", "A ground."] * 6)
    report = build(videos, out, captioner, max_failures=2, retries=0)
    assert report.records == 6
    assert len(report.skipped) == 6


def test_an_endpoint_that_hangs_is_named(videos, out, server):
    server.script = lambda *_: server.release.wait(5) and "late"
    captioner = OpenAICaptioner(server.url, "seer", workers=1, timeout=0.1)
    with pytest.raises(OryxError, match=r"did not answer in 0\.1 s"):
        build(videos, out, captioner, max_failures=1, retries=0)
    assert records_of(out) == []


def test_black_videos_and_other_files_are_passed_over_and_named(film, out, sayer):
    folder = film("a.mp4").parent
    film("black.mp4", (-60,))
    film("short.mp4", (10,))
    (folder / "notes.txt").write_text("to do")
    report = build(folder, out, sayer(), {"count": 12})
    assert report.videos == 1
    assert set(report.unusable) == {"short.mp4", "notes.txt"}
    assert "room for 5 frames" in report.unusable["short.mp4"]
    reasons = {event["video"]: event["reason"] for event in events_of(out, "unsuitable")}
    assert reasons["black.mp4"] == "its frames are empty, or too much alike"
    again = build(folder, out, sayer(), {"count": 12})  # there is nothing left to do
    assert again.unusable == report.unusable
    assert json.loads((out / "summary.json").read_text())["unusable"] == report.unusable
    film("short.mp4", (60, 60))
    assert set(build(folder, out, sayer(), {"count": 40}).unusable) == {"notes.txt"}


def test_what_was_asked_is_kept_when_no_further_clip_is_found(film, out, sayer, monkeypatch):
    """The film's end is black: after one clip all stretches are unsuitable."""
    film("a.mp4", (60, 60))
    folder = out.parent / "videos"
    make_clip, made = _Run._make_clip, []

    def one_clip(run, number):
        if not made:
            made.append(number)
            return make_clip(run, number)
        run.log.append(
            "unsuitable", clip=number, video="a.mp4", reason="its frames are empty", unusable=False
        )
        return None

    monkeypatch.setattr(_Run, "_make_clip", one_clip)
    sentence = r"gives a clip after 1 clips: the last 20 stretches tried were unsuitable; 'a.mp4': its frames"
    with pytest.raises(MediaError, match=sentence):
        build(folder, out, sayer(workers=8), {"count": 12})
    assert len(records_of(out)) == len(events_of(out, "clip")[0]["jobs"]) > 0


@pytest.mark.parametrize("kind", ["black", "text"])
def test_a_folder_that_gives_nothing_is_one_sentence(film, tmp_path, out, sayer, kind):
    folder = tmp_path / "videos"
    if kind == "black":
        film("a.mp4", (-60,))
    else:
        folder.mkdir()
        (folder / "a.txt").write_text("x")
        (folder / "b.txt").write_text("x")
    with pytest.raises(MediaError, match=r"none of the (one|2) file.? .*gives a clip|none of the one file"):
        build(folder, out, sayer())
    assert records_of(out) == []


def test_a_full_disk_keeps_what_was_made(videos, out, sayer, monkeypatch):
    build(videos, out, sayer(), {"count": 4})
    from oryx.data.builders import frame_store

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frame_store.PatchStore, "write", full)
    with pytest.raises(OryxError, match=r"No space left on device.*the same command goes on"):
        build(videos, out, sayer(), {"count": 8})
    monkeypatch.undo()
    assert len(records_of(out)) == 4
    assert build(videos, out, sayer(), {"count": 8}).records == 8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"frames": (14, 20)}, "frames is"),
        ({"layout": "folder"}, "layout is 'patch' there"),
    ],
)
def test_another_runs_folder_is_refused(videos, out, sayer, change, sentence):
    build(videos, out, sayer(), {"count": 1})
    with pytest.raises(ConfigError, match=sentence):
        build(videos, out, sayer(), change)


def test_outputs_that_cannot_be(videos, tmp_path, sayer):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    for name, sentence in (
        ("file", "is a file"),
        ("full", "is not empty and holds no run"),
        (videos / "out", "lies inside the folder of videos"),
        ("file/below", "cannot be written"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            build(videos, tmp_path / name, sayer())


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"frames": (1, 2)},
        {"frames": (30, 20)},
        {"per_clip": 7},
        {"min_step": 0},
        {"layout": "zip"},
        {"quality": 100},
        {"max_pixels": 5},
    ],
    ids=str,
)
def test_settings_that_cannot_be(change):
    with pytest.raises(ConfigError):
        settings(**change)


def test_options_that_cannot_be(videos, out, sayer):
    for options in ({"retries": -1}, {"max_failures": 0}, {"prompts": {"caption": "?"}}):
        with pytest.raises(ConfigError):
            build(videos, out, sayer(), **options)


def test_the_contact_sheet_shows_the_target_frames(videos, out, sayer):
    build(videos, out, sayer("Ein Mann, 一个男人, 🎈."), {"count": 3})
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.height == 3 * 158 + 8
        colors = sheet.convert("RGB").crop((8, 8, 72, 56)).getcolors(64 * 48)
    assert len(colors) > 50


def test_progress_goes_from_none_to_all(videos, out, sayer):
    seen = []
    build(videos, out, sayer(), {"count": 3}, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.slow
def test_an_oryx_model_is_a_captioner(videos, out):
    import oryx
    from oryx.engine.captioner import ModelCaptioner

    captioner = ModelCaptioner(*oryx.load("nano", device="cpu"), "nano", max_new_tokens=24)
    prompts = {"caption": "Describe the image.", "diff": "What color is the object?"}
    report = build(videos, out, captioner, {"count": 4}, prompts=prompts)
    assert report.records == 4
    assert report.captioners == ["nano"]
    assert all(record["answer"] for record in records_of(out))


def test_no_thread_is_left_behind(videos, out, sayer):
    threads = []
    captioner = sayer(workers=3)
    said = captioner.describe

    def describe(pictures, prompt):
        threads.append(threading.current_thread())
        return said(pictures, prompt)

    captioner.describe = describe
    build(videos, out, captioner, {"count": 4})
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
