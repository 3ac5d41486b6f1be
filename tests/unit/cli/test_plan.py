"""`oryx plan`: the contract of its JSON, kinds by content, and equality with the processor."""

import json
import shutil

import pytest

import oryx


def plan(run, *arguments):
    result = run("plan", *arguments, "--json")
    assert result.code == 0, result.err
    assert result.err == ""
    return json.loads(result.out)


def test_contract(run, native, picture, video, scene, animation):
    found = plan(run, picture(), video(num_frames=70), scene, animation, "--model", native)
    kinds = [(v["kind"], v["frames"], v["compression"]) for v in found["visuals"]]
    assert kinds == [("image", 1, 1), ("video", 64, 4), ("views", 4, 4), ("video", 3, 4)]
    assert [len(visual["grids"]) for visual in found["visuals"]] == [2, 1, 1, 1]
    assert found["total_tokens"] == sum(visual["tokens"] for visual in found["visuals"])
    # 2 x 2 layers x 2 key-value heads x head size 12 x 4 bytes
    assert found["kv_cache_bytes"] == 2 * 2 * 2 * 12 * 4 * found["total_tokens"]
    assert min(found["vision_flops"], found["lm_prefill_flops"]) > 0
    assert "prompt_tokens" not in found


@pytest.mark.parametrize("dials", [(), ("--compression", 16, "--max-pixels", 40_000), ("--detail", "low")])
def test_both_layouts_and_the_processor_agree(run, tiny, native, picture, video, dials):
    media = [picture(), video()]
    question = ("--question", "What is this?")
    found = plan(run, *media, *dials, *question, "--model", tiny)
    assert found == plan(run, *media, *dials, *question, "--model", native)
    _, processor = oryx.load(tiny)
    names = {"--compression": "compression", "--max-pixels": "max_pixels", "--detail": "detail"}
    kwargs = dict(zip((names[name] for name in dials[::2]), dials[1::2]))
    batch = processor.encode_conversation(
        [{"from": "human", "value": "<image>\n<image>\nWhat is this?"}, {"from": "gpt", "value": None}],
        [{"type": "image", "image": str(media[0])}, {"type": "video", "video": str(media[1])}],
        supervise=None,
        **kwargs,
    )
    assert found["prompt_tokens"] == batch["input_ids"].shape[1]
    assert found["total_tokens"] == (batch["input_ids"] == processor.image_token_id).sum()


def test_several_pictures_are_one_scene_with_views(run, native, picture, scene):
    found = plan(run, picture(), scene, "--views", "--model", native)
    assert [(v["kind"], v["frames"]) for v in found["visuals"]] == [("views", 5)]


def test_frames_of_a_folder_are_chosen_when_told_how_many(run, native, scene):
    found = plan(run, scene, "--max-frames", 2, "--model", native)
    assert [(v["kind"], v["frames"]) for v in found["visuals"]] == [("video", 2)]


def test_fps(run, native, video):
    clip = video(num_frames=20, rate=5)
    assert plan(run, clip, "--fps", 1, "--model", native)["visuals"][0]["frames"] == 4


def test_the_cache_follows_the_dtype(run, native, picture):
    media = picture()
    full = plan(run, media, "--model", native)
    half = plan(run, media, "--model", native, "--dtype", "bfloat16")
    assert half["kv_cache_bytes"] * 2 == full["kv_cache_bytes"]
    assert half["dtype"] == "bfloat16"


def test_a_config_without_its_defaults_is_read_by_its_class(run, native, picture, tmp_path):
    folder = tmp_path / "lean"
    shutil.copytree(native, folder)
    settings = json.loads((folder / "config.json").read_text())
    del settings["vision_config"]["num_channels"]
    (folder / "config.json").write_text(json.dumps(settings))
    media = picture()
    assert plan(run, media, "--model", folder) == plan(run, media, "--model", native)


def test_people_get_a_table(run, native, picture, video):
    media = [picture(), video()]
    out = run("plan", *media, "--model", native, "--question", "What?").out
    for text in (
        "cat.png",
        "clip.mp4",
        "low 24x24 + native 2x2",
        "visual tokens",
        "prompt tokens",
        "KV cache",
    ):
        assert text in out


def test_a_bare_mpeg_stream_is_a_video(run, native, tmp_path):
    import av
    import numpy as np

    path = tmp_path / "clip.mpg"
    with av.open(str(path), "w", format="mpeg1video") as container:
        stream = container.add_stream("mpeg1video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(4):
            pixels = np.full((48, 64, 3), 40 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    assert plan(run, path, "--model", native)["visuals"][0]["kind"] == "video"


@pytest.fixture
def settings_of(native, tmp_path):
    """(file, change of its JSON) -> a native folder with the change."""

    def change(file, edit):
        folder = shutil.copytree(native, tmp_path / "changed")
        settings = json.loads((folder / file).read_text())
        edit(settings)
        (folder / file).write_text(json.dumps(settings))
        return folder

    return change


@pytest.mark.parametrize("value", ["x", "96", None, [96], True, 0, 2.5])
@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("vision_config", "hidden_size"),
        ("text_config", "hidden_size"),
        ("text_config", "num_attention_heads"),
    ],
)
def test_a_size_that_is_no_number(refused, settings_of, picture, part, name, value):
    folder = settings_of("config.json", lambda settings: settings[part].update({name: value}))
    assert "config.json" in refused("plan", picture(), "--model", folder)


@pytest.mark.parametrize("name", ["vision_config", "compressor_dim"])
def test_a_part_that_is_none(refused, settings_of, picture, name):
    folder = settings_of("config.json", lambda settings: settings.update({name: "x"}))
    assert "config.json" in refused("plan", picture(), "--model", folder)


def test_an_unknown_setting_of_the_processor(refused, settings_of, picture):
    folder = settings_of("processor_config.json", lambda settings: settings.update(reszie_rule={}))
    assert "did you mean 'resize_rule'" in refused("plan", picture(), "--model", folder)


def test_a_budget_is_kept_and_means_the_same_to_ask(run, native, picture, video):
    media = [picture(), video(num_frames=70)]
    found = plan(run, *media, "--budget", 400, "--model", native)
    assert found["total_tokens"] <= 400
    asked = run("ask", *media, "What?", "--budget", 400, "--model", native, "--max-new-tokens", 1, "--json")
    assert asked.code == 0, asked.err
    answer = json.loads(asked.out)
    assert answer["visual_tokens"] == found["total_tokens"]
    assert answer["plan"]["visuals"] == found["visuals"]


@pytest.mark.parametrize(
    ("dials", "sentence"),
    [
        (("--budget", "0"), "not above 0"),
        (("--budget", "1"), "the least possible for this request is"),
        (("--budget", "lots"), "not understood"),
        (("--budget", "100", "--budget", "200"), "twice"),
        (("--focus", "09:00-09:10"), "outside the video"),
        (("--focus", "soon"), "not understood"),
        (("--budget", "1B"), "GB of memory"),
    ],
)
def test_budgets_and_focuses_that_cannot_be(run, native, video, dials, sentence):
    result = run("plan", video(), *dials, "--model", native)
    assert result.code == 2
    assert sentence in result.err
    assert result.err.count("\n") == 1


def test_focus_turns_nothing_on_a_picture(run, native, picture):
    result = run("plan", picture(), "--focus", "auto", "--model", native)
    assert result.code == 2
    assert "--focus turns nothing here; it needs video" in result.err


def test_media_are_needed(run, native):
    result = run("plan", "--model", native)
    assert result.code == 2
    assert "media are missing" in result.err


def test_calibrated_once_then_seconds(run, native, video, tmp_path, monkeypatch):
    from oryx.engine import calibration

    monkeypatch.setattr("oryx.processing.speed.calibration_file", lambda: tmp_path / "calibration.json")
    for name, value in (("CLIP_HEIGHT", 48), ("CLIP_WIDTH", 64), ("CLIP_FRAMES", 20), ("REPEATS", 1)):
        monkeypatch.setattr(calibration, name, value)
    before = run("plan", video(), "--budget", "5s", "--model", native)
    assert before.code == 2
    assert "--calibrate" in before.err
    done = run("plan", "--calibrate", "--model", native)
    assert done.code == 0, done.err
    first, *_, last = done.err.splitlines()
    assert first.startswith(f"oryx: timing {native.name} in float32 on ")
    assert "it takes a minute or two" in first
    assert str(tmp_path / "calibration.json") in last
    found = plan(run, video(), "--budget", "100s", "--model", native)
    assert 0 < found["seconds"]["total"] <= 100
    assert found["dtype"] == "float32"


def test_keyframes_are_said_in_the_plan(run, native, tmp_path, monkeypatch):
    from oryx.engine import calibration

    monkeypatch.setattr(calibration, "CLIP_FRAMES", 20)
    calibration.write_clip(tmp_path / "clip.mp4", 48, 64)
    exact = plan(run, tmp_path / "clip.mp4", "--model", native)["visuals"][0]
    dials = ("--keyframes", "--fast-resize", "--model", native)
    nearest = plan(run, tmp_path / "clip.mp4", *dials)["visuals"][0]
    assert (exact["keyframes"], exact["frames"]) == (False, 20)
    assert (nearest["keyframes"], nearest["frames"]) == (True, 4)
    assert "4 keyframes" in run("plan", tmp_path / "clip.mp4", *dials).out


@pytest.mark.parametrize("source", ["rtsp://camera/1", "http://host/live.m3u8", "-"])
def test_a_live_stream_needs_a_limit(run, native, source):
    result = run("plan", source, "--model", native)
    assert result.code == 2
    assert "a live stream has no end, so it needs a limit" in result.err
    assert result.err.count("\n") == 1


def test_more_than_the_context_is_refused_with_the_numbers(run, native, video, tmp_path):
    native = shutil.copytree(native, tmp_path / "short")
    settings = json.loads((native / "config.json").read_text())
    settings["text_config"]["max_position_embeddings"] = 100
    (native / "config.json").write_text(json.dumps(settings))
    result = run("plan", video(num_frames=64), "--model", native)
    assert result.code == 2
    assert "the model reads at most 100" in result.err
    found = plan(run, video(num_frames=64), "--budget", 5000, "--model", native)
    assert found["total_tokens"] <= 100


def test_quantised_weights_take_less_memory(run, native, picture):
    plain, packed = (
        plan(run, picture(), "--model", native, *more)["weight_bytes"]
        for more in ((), ("--quantize", "int8"))
    )
    assert packed < plain


def test_several_limits_in_one_word(run, native, picture):
    found = plan(run, picture(), "--budget", "60,2GB", "--model", native)
    assert found["total_tokens"] <= 60


def test_calibration_is_of_weights_as_they_are_stored(run, native):
    result = run("plan", "--calibrate", "--quantize", "int8", "--model", native)
    assert result.code == 2
    assert "leave --quantize out" in result.err
    result = run("plan", "examples/scene.png", "--quantize", "int8", "--budget", "5s", "--model", native)
    assert "quantised weights" in result.err


def test_a_budget_leaves_room_for_notes_and_questions(run, native, video, tmp_path):
    native = shutil.copytree(native, tmp_path / "short")
    settings = json.loads((native / "config.json").read_text())
    settings["text_config"]["max_position_embeddings"] = 700
    (native / "config.json").write_text(json.dumps(settings))
    clip, options = video(num_frames=300, rate=5), ("--budget", "1000k", "--timestamps", "--model", native)
    asked = run("ask", clip, "What is it?", *options, "--max-new-tokens", 2, "--json")
    assert asked.code == 0, asked.err
    assert json.loads(asked.out)["prompt_tokens"] <= 698


def test_a_plan_is_in_the_dtype_that_ask_computes_in(run, picture, monkeypatch, tmp_path):
    monkeypatch.setattr("oryx.processing.speed.calibration_file", lambda: tmp_path / "calibration.json")
    asked = json.loads(run("ask", picture(), "What?", "--json", "--max-new-tokens", 1).out)
    assert plan(run, picture())["dtype"] == asked["plan"]["dtype"]


def test_calibration_as_json(run, native, tmp_path, monkeypatch):
    from oryx.engine import calibration

    monkeypatch.setattr("oryx.processing.speed.calibration_file", lambda: tmp_path / "calibration.json")
    for name, value in (("CLIP_HEIGHT", 48), ("CLIP_WIDTH", 64), ("CLIP_FRAMES", 20), ("REPEATS", 1)):
        monkeypatch.setattr(calibration, name, value)
    found = json.loads(run("plan", "--calibrate", "--json", "--model", native).out)
    assert found["dtype"] == "float32"
    assert found["request"] >= 0


def test_a_video_at_an_address_is_no_live_stream(run, native):
    result = run("plan", "http://host/clip.mp4", "--model", native)
    assert result.code == 2
    assert result.err.endswith("download it and give its path.\n")
