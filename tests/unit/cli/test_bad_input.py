"""Wrong input to the command line: one sentence that names it, exit code 2, nothing half-written."""

import json
import pickle
import shutil
import struct
import zlib

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


@pytest.fixture(params=["plan", "ask"])
def command(request, tiny):
    """(media, options) -> arguments of both commands that read media."""
    question = ["What?"] if request.param == "ask" else []
    return lambda *arguments: (request.param, *arguments[:1], *question, *arguments[1:], "--model", tiny)


@pytest.mark.parametrize("name", ["cat.png", "clip.mp4", "folder", "data.bin"])
def test_missing(refused, command, tmp_path, name):
    assert "does not exist" in refused(*command(tmp_path / name))


@pytest.mark.parametrize("name", ["cat.png", "clip.mp4"])
def test_missing_and_nothing_asked(refused, tiny, tmp_path, name):
    message = refused("ask", tmp_path / name, "--model", tiny)
    assert "does not exist" in message
    assert "question is missing" in message


@pytest.mark.parametrize(
    ("dial", "needs"),
    [
        (("--fps", 2), "video"),
        (("--max-frames", 3), "video"),
        (("--timestamps",), "video"),
        (("--subtitles", "nowhere.srt"), "video"),
    ],
)
def test_a_dial_that_turns_nothing(refused, command, picture, dial, needs):
    message = refused(*command(picture(), *dial))
    assert f"{dial[0]} turns nothing here" in message
    assert needs in message


@pytest.mark.parametrize("name", ["cat.png", "clip.mp4", "data.bin"])
def test_empty(refused, command, tmp_path, name):
    (tmp_path / name).touch()
    assert "is empty (0 bytes)" in refused(*command(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("note.mp4", "is not a video"),
        ("note.png", "is not a picture"),
        ("note.md", "neither a picture nor a video"),
    ],
)
def test_text_under_any_name(refused, command, tmp_path, name, sentence):
    (tmp_path / name).write_text("Some words, and no picture at all.\n" * 40)
    message = refused(*command(tmp_path / name))
    assert sentence in message
    assert name in message


def test_a_picture_cut_off_in_its_pixels(refused, tiny, picture):
    path = picture("cat.jpg", 120, 160)
    path.write_bytes(path.read_bytes()[:2000])
    assert "truncated or broken" in refused("ask", path, "What?", "--model", tiny)


def test_a_video_cut_off_before_its_index(refused, command, video):
    path = video()
    path.write_bytes(path.read_bytes()[:400])
    assert "clip.mp4" in refused(*command(path))


def test_mislabelled_media_are_read_by_their_content(run, tiny, picture, video):
    still, clip = picture(), video()
    still.rename(still.with_suffix(".mp4"))
    clip.rename(clip.with_name("movie.png"))
    result = run("plan", still.with_suffix(".mp4"), clip.with_name("movie.png"), "--json", "--model", tiny)
    assert [visual["kind"] for visual in json.loads(result.out)["visuals"]] == ["image", "video"]


def test_a_folder_without_pictures(refused, command, tmp_path):
    (tmp_path / "room").mkdir()
    assert "has no picture" in refused(*command(tmp_path / "room"))


def test_a_huge_picture_is_refused_from_its_header(refused, command, tmp_path):
    path = tmp_path / "wall.png"
    size = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 0) + b"IDAT")
    assert "178,956,970 pixels" in refused(*command(path))


def test_a_thin_strip_has_at_least_one_multiple(run, tiny, picture):
    found = json.loads(run("plan", picture("strip.png", 1, 5000), "--json", "--model", tiny).out)
    assert min(min(grid) for grid in found["visuals"][0]["grids"]) == 2


@pytest.mark.parametrize(
    ("dial", "value", "sentence"),
    [
        ("--max-frames", 0, "max_frames"),
        ("--compression", 3, "1, 2, 4, 8, 16"),
        ("--detail", "medium", '"high" or "low"'),
        ("--fps", 0, "above 0"),
        ("--fps", "nan", "above 0"),
        ("--max-pixels", 0, "max_pixels"),
        ("--dtype", "int3", "int3"),
        ("--model", "nowhere", "nowhere"),
        ("--vision-tower", "nowhere.pth", "nowhere.pth"),
    ],
)
def test_dials_out_of_range(refused, command, picture, dial, value, sentence):
    arguments = list(command(picture(), dial, value))
    if dial == "--model":
        arguments = arguments[:-2]
    assert sentence in refused(*arguments)


def test_an_unknown_device(refused, tiny, picture):
    assert "device" in refused("ask", picture(), "What?", "--model", tiny, "--device", "abacus")


@pytest.mark.parametrize("count", [2, 3])
def test_more_markers_than_media(refused, tiny, picture, count):
    message = refused("ask", picture(), "<image> " * count, "--model", tiny)
    assert f"{count} <image> but 1 media" in message


def test_a_forgotten_question(refused, tiny, picture):
    media = picture()
    assert "the question is missing" in refused("ask", media, "--model", tiny)
    assert "the question is missing" in refused("ask", media, media, "--model", tiny)
    assert "the question is empty" in refused("ask", media, "  ", "--model", tiny)


def test_addresses_are_not_fetched(refused, command):
    assert "is not fetched" in refused(*command("https://example.com/cat.png"))


def test_views_are_pictures(refused, tiny, video):
    assert "is a video" in refused("plan", video(), "--views", "--model", tiny)


def test_frames_of_a_folder_have_no_rate(refused, tiny, scene):
    assert "fps" in refused("plan", scene, "--fps", 1, "--model", tiny)


def test_subtitles_that_are_not_there(refused, command, video):
    assert "beside" in refused(*command(video(), "--subtitles", "auto"))


@pytest.fixture
def copy(tiny, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("cases*", "visuals"))
    return folder


COMMANDS = {
    "ask": lambda folder: ("ask", "What?", "--model", folder),
    "verify": lambda folder: ("verify", folder),
    "convert": lambda folder: ("convert", folder, folder.parent / "new"),
}


@pytest.fixture(params=COMMANDS)
def with_model(request, refused, copy):
    """() -> the sentence with which a command refuses `copy`; it must leave nothing behind."""

    def call() -> str:
        before = sorted(copy.parent.rglob("*"))
        message = refused(*COMMANDS[request.param](copy))
        assert sorted(copy.parent.rglob("*")) == before
        return message

    return call


def test_missing_shards(with_model, copy):
    (copy / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks the shards model-00001-of-00002.safetensors" in with_model()


def test_no_weights(with_model, copy):
    (copy / "model.safetensors").unlink()
    assert "neither model.safetensors" in with_model()


def test_wrong_shapes_and_missing_keys(with_model, copy):
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"] = np.ones(3, dtype=np.float32)
    del tensors["lm_head.weight"]
    save_file(tensors, copy / "model.safetensors")
    message = with_model()
    assert "missing keys language_model.lm_head.weight" in message
    assert "misshapen keys model.norm.weight [3] instead of [48]" in message


def test_broken_weights(with_model, copy):
    (copy / "model.safetensors").write_bytes(b"not tensors")
    assert "not a readable safetensors file" in with_model()


def test_a_config_of_another_model(with_model, copy):
    (copy / "config.json").write_text('{"model_type": "bert"}')
    assert "'bert'" in with_model()


def test_a_config_that_is_no_json(with_model, copy):
    (copy / "config.json").write_text("{")
    assert "cannot be read as JSON" in with_model()


def test_a_native_config_of_wrong_kinds(refused, native, picture, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(native, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["text_config"]["num_attention_heads"] = "four"
    (folder / "config.json").write_text(json.dumps(settings))
    for arguments in (("plan", picture()), ("ask", "What?"), ("verify",)):
        where = (folder,) if arguments == ("verify",) else ("--model", folder)
        assert "config.json is not a valid config" in refused(*arguments, *where)


def test_an_unknown_resize_setting(refused, native, picture, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(native, folder)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["resize_rule"]["native_aera"] = 4
    (folder / "processor_config.json").write_text(json.dumps(settings))
    assert "did you mean 'native_area'" in refused("plan", picture(), "--model", folder)


class Malice:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_tower_that_tries_to_run_code(refused, tiny, tmp_path):
    evil, trace = tmp_path / "oryx_vit.pth", tmp_path / "trace"
    evil.write_bytes(pickle.dumps({"x": Malice(trace)}))
    for arguments in (
        ("ask", "What?", "--model", tiny),
        ("verify", tiny),
        ("convert", tiny, tmp_path / "new"),
    ):
        assert "oryx_vit.pth" in refused(*arguments, "--vision-tower", evil)
    assert not trace.exists()
    assert not (tmp_path / "new").exists()


def test_converting_into_a_folder_that_is_not_empty(refused, tiny, copy):
    assert "already exists" in refused("convert", tiny, copy)
