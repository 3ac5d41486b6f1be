"""`oryx ask` and `oryx chat` on a tiny model whose answers mean nothing but are always the same."""

import io
import json

import av
import pytest

import oryx
from oryx.cli import forecast


def ask_in_python(folder, visuals, question, max_new_tokens=6):
    model, processor = oryx.load(folder, dtype="float32", device="cpu")
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": None}]
    batch = processor.encode_conversation(turns, visuals, supervise=None)
    output = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False)
    length = batch["input_ids"].shape[1]
    return processor.batch_decode(output[:, length:], skip_special_tokens=True)[0].strip(), length


def test_json_is_what_the_python_api_answers(run, tiny, picture, video):
    image, clip = picture(), video()
    options = ("--model", tiny, "--json", "--max-new-tokens", 6, "--max-frames", 3, "--compression", 2)
    result = run("ask", image, clip, "What is this?", *options)
    assert result.code == 0
    assert result.err == ""
    found = json.loads(result.out)
    visuals = [
        {"type": "image", "image": str(image), "compression": 2},
        {"type": "video", "video": str(clip), "compression": 2, "max_frames": 3},
    ]
    answer, length = ask_in_python(tiny, visuals, "<image>\n<image>\nWhat is this?")
    assert found["answer"] == answer
    assert found["prompt_tokens"] == length
    assert found["visual_tokens"] == found["plan"]["total_tokens"]
    assert found["model"] == str(tiny)
    assert 1 <= found["new_tokens"] <= 6
    assert set(found["seconds"]) == {"load", "encode", "generate"}


def test_its_plan_is_the_plan_of_oryx_plan(run, tiny, picture):
    media, options = picture(), ("--model", tiny, "--json", "--detail", "low")
    asked = json.loads(run("ask", media, "Where?", *options, "--max-new-tokens", 1).out)
    planned = json.loads(run("plan", media, "--question", "Where?", *options).out)
    assert asked["plan"] == planned
    assert asked["prompt_tokens"] == planned["prompt_tokens"]


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_the_answer_is_all_of_stdout_and_the_plan_line_stands_on_stderr(run, tiny, picture, stream):
    media = picture()
    result = run("ask", media, "What?", "--model", tiny, "--max-new-tokens", 5, stream)
    answer, _ = ask_in_python(tiny, [{"type": "image", "image": str(media)}], "<image>\nWhat?", 5)
    assert result.out.strip() == answer
    assert result.err == "cat.png  image  40x56 px  low 24x24 + native 2x2  1x  609 tokens\n"


def test_text_alone_works(run, native):
    found = json.loads(run("ask", "Why?", "--model", native, "--json", "--max-new-tokens", 3).out)
    assert found["visual_tokens"] == 0
    assert found["plan"]["visuals"] == []
    assert found["plan"]["vision_flops"] == 0


def test_the_question_may_say_where_a_medium_stands(run, tiny, picture):
    media = picture()
    options = ("--model", tiny, "--json", "--max-new-tokens", 4, "--detail", "low")
    found = json.loads(run("ask", media, "This: <image> is what?", *options).out)
    visuals = [{"type": "image", "image": str(media), "detail": "low"}]
    assert found["answer"] == ask_in_python(tiny, visuals, "This: <image> is what?", 4)[0]


def test_temperature_samples(run, tiny):
    answers = set()
    for _ in range(3):
        options = ("--model", tiny, "--json", "--max-new-tokens", 12, "--temperature", 5)
        answers.add(json.loads(run("ask", "What?", *options).out)["answer"])
    assert len(answers) > 1


def test_timestamps_and_subtitles_lengthen_the_prompt(run, native, video):
    clip = video()
    clip.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello there\n")
    options = ("--model", native, "--json", "--question", "What?")
    plain = json.loads(run("plan", clip, *options).out)["prompt_tokens"]
    noted = json.loads(run("plan", clip, *options, "--subtitles", "auto", "--timestamps").out)[
        "prompt_tokens"
    ]
    assert noted > plain + 10
    asked = run(
        *("ask", clip, "What?", "--model", native, "--json", "--max-new-tokens", 1),
        *("--subtitles", clip.with_suffix(".srt"), "--timestamps"),
    )
    assert json.loads(asked.out)["prompt_tokens"] == noted


def test_chat_keeps_the_conversation_and_encodes_once(run, tiny, picture, monkeypatch):
    media = picture()
    monkeypatch.setattr("sys.stdin", io.StringIO("What is it?\n\nWhy?\n/quit\nnever asked\n"))
    calls = []
    from oryx.engine import session as home

    original = home.encode_tokens
    monkeypatch.setattr(home, "encode_tokens", lambda *a, **k: calls.append(a) or original(*a, **k))
    result = run("chat", media, "--model", tiny, "--max-new-tokens", 4)
    assert result.code == 0
    assert len(calls) == 1
    visuals = [{"type": "image", "image": str(media)}]
    first, _ = ask_in_python(tiny, visuals, "<image>\nWhat is it?", 4)
    model, processor = oryx.load(tiny, dtype="float32", device="cpu")
    turns = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": first},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": None},
    ]
    batch = processor.encode_conversation(turns, visuals, supervise=None)
    output = model.generate(**batch, max_new_tokens=4, do_sample=False)
    second = processor.tokenizer.decode(output[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    assert [line.strip() for line in result.out.splitlines()] == [first, second.strip()]


def test_chat_spends_beside_the_prompt_of_its_style(run, tiny, picture, monkeypatch):
    styles, spend = [], forecast.spend

    def watch(*arguments):
        styles.append(arguments[-1])
        return spend(*arguments)

    monkeypatch.setattr(forecast, "spend", watch)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    result = run("chat", picture(), "--model", tiny, "--prompt-style", "eval", "--budget", "900")
    assert result.code == 0, result.err
    assert styles == ["eval"]


def test_chat_refuses_a_marker_without_a_medium(refused, tiny, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("<image> what?\n"))
    assert "1 <image> but 0 media" in refused("chat", "--model", tiny)


def test_json_tells_the_dtype_that_the_model_ran_in(run, native, picture):
    options = ("--model", native, "--json", "--max-new-tokens", 1)
    plans = {
        dtype: json.loads(run("ask", picture(), "What?", *options, "--dtype", dtype).out)["plan"]
        for dtype in ("float32", "bfloat16", "auto")
    }
    assert plans["bfloat16"]["kv_cache_bytes"] * 2 == plans["float32"]["kv_cache_bytes"]
    assert plans["auto"] == plans["float32"]


@pytest.mark.parametrize("question", ["What?", "This: <image> is what?"])
def test_a_prompt_longer_than_the_model_reads_is_refused_before_it_is_encoded(
    refused, native, picture, monkeypatch, question
):
    from oryx.engine import session as home

    monkeypatch.setattr(home, "encode_tokens", lambda *_, **__: pytest.fail("it was encoded"))
    limit = json.loads((native / "config.json").read_text())["text_config"]["max_position_embeddings"]
    error = refused("ask", picture(), question, "--model", native, "--max-new-tokens", limit)
    assert f"the answer may take {limit:,}" in error
    assert f"reads at most {limit:,}: give a budget" in error
    error = refused("ask", "What is it?", "--model", native, "--max-new-tokens", limit)
    assert f"reads at most {limit:,}: shorten the text or lower max_new_tokens" in error


def test_a_video_that_is_cut_off_gives_an_answer_or_one_sentence(run, native, tmp_path, video, caplog):
    """Frames are planned from the header; never may the prompt have other places than the visual fills."""
    whole = video("whole.mp4", num_frames=40, height=96, width=128)
    moved = tmp_path / "faststart.mp4"
    with (
        av.open(str(whole)) as source,
        av.open(str(moved), "w", options={"movflags": "faststart"}) as target,
    ):  # the index in front: the header promises every frame, wherever the file ends
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = moved.read_bytes()
    codes = set()
    for share in (0.99, 0.8, 0.6, 0.4, 0.3):
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(data[: int(len(data) * share)])
        result = run("ask", cut, "What?", "--model", native, "--json", "--max-new-tokens", 2)
        codes.add(result.code)
        assert result.code in (0, 2), result
        if result.code == 2:
            assert result.err.count("\n") == 1
            assert "visual positions" not in result.err
    assert 0 in codes


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_quantised_weights(run, tiny, picture, quantize, monkeypatch):
    media, options = picture(), ("--model", tiny, "--json", "--max-new-tokens", 4)
    seen = []
    from oryx import loading

    original = loading.quantization_options
    monkeypatch.setattr(
        loading, "quantization_options", lambda name, *rest: seen.append(name) or original(name, *rest)
    )
    result = run("ask", media, "Where?", *options, "--quantize", quantize)
    assert (result.code, result.err, seen) == (0, "", [quantize])
    assert json.loads(result.out)["new_tokens"] == 4


@pytest.mark.parametrize("command", [("ask", "Where?"), ("chat",), ("verify", "nano")])
def test_a_quantisation_that_is_none(refused, command):
    message = refused(*command, "--quantize", "int2")
    assert "quantize 'int2' is unknown; allowed: int8, int4" in message


def test_verify_counts_the_weights_that_are_packed(run, tiny):
    plain, packed = (
        json.loads(run("verify", tiny, "--json", *more).out) for more in ((), ("--quantize", "int4"))
    )
    assert plain["parameters"] == packed["parameters"]
    assert (plain["quantize"], packed["quantize"]) == ("no", "int4")


def test_what_is_wrong_with_a_file_is_said_once(run, native, video, tmp_path):
    whole = video("whole.avi", num_frames=60, height=96, width=128)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    result = run("ask", cut, "What?", "--budget", 60, "--model", native, "--max-new-tokens", 1)
    assert result.code == 0, result.err
    said = [line for line in result.err.splitlines() if line.startswith("oryx:")]
    assert len(said) == len(set(said)) == 1


def test_chat_names_a_command_that_is_none(run, tiny, picture, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("/help\n/quit\n"))
    result = run("chat", picture(), "--model", tiny)
    assert result.code == 0
    assert "there is no command /help; /quit ends the conversation" in result.err
    assert result.out == ""
