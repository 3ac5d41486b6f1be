"""Sessions: every answer is that of a whole prompt without any reuse, and media are encoded once."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from factories import (
    BACKBONES,
    make_config,
    make_conversation,
    make_model,
    make_picture,
    make_processor,
    make_visual,
)
from PIL import Image

import oryx
from oryx.engine import session as home
from oryx.engine.cache import VisualTokenCache
from oryx.engine.session import Session
from oryx.errors import AlignmentError, ConfigError
from oryx.processing.budget import Planner
from oryx.sizes import model_sizes

NUM_NEW = 8
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def watched(model, monkeypatch):
    """The logits of every step of the last `generate`, and how many positions each forward pass ran."""
    return watch(model, monkeypatch)


def watch(model, monkeypatch):
    seen = SimpleNamespace(logits=None, runs=[])
    generate, forward = model.generate, model.language_model.forward

    def generate_and_look(**arguments):
        seen.runs.clear()
        output = generate(**arguments, output_logits=True)
        seen.logits = torch.cat(output.logits)
        return output

    def run(*arguments, inputs_embeds, **more):
        seen.runs.append(inputs_embeds.shape[1])
        return forward(*arguments, inputs_embeds=inputs_embeds, **more)

    monkeypatch.setattr(model, "generate", generate_and_look)
    monkeypatch.setattr(model.language_model, "forward", run)
    return seen


def check(session, seen, visuals, question, **settings):
    """Asks, and compares with the whole prompt of the same conversation, visuals encoded anew."""
    turns = session.turns if settings.get("follow_up", True) else []
    answer = session.ask(question, max_new_tokens=NUM_NEW, **settings)
    marked = session.turns[-2]["value"]
    conversation = [*turns, *make_conversation(marked)]
    batch = session.processor.encode_conversation(conversation, visuals, supervise=None)
    assert answer.prompt_tokens == batch["input_ids"].shape[1]
    assert seen.runs[0] == answer.prompt_tokens - answer.cached_tokens
    logits = seen.logits
    output = session.model.generate(
        **batch, max_new_tokens=NUM_NEW, do_sample=False, return_dict_in_generate=True
    )
    new_ids = output.sequences[0, answer.prompt_tokens :]
    assert answer.text == session.processor.tokenizer.decode(new_ids, skip_special_tokens=True).strip()
    assert answer.num_tokens == len(new_ids)
    torch.testing.assert_close(logits, seen.logits, atol=2e-4, rtol=1e-4)
    return answer


def test_follow_ups_and_fresh_questions_run_only_what_is_new(model, processor, watched):
    visual = make_visual("video", num_frames=6, compression=1)
    session = Session(model, processor)
    num_visual = session.add(visual)
    first = check(session, watched, [visual], "What happens?")
    assert first.cached_tokens == 0
    follow_up = check(session, watched, [visual], "And then?")
    assert follow_up.cached_tokens >= first.prompt_tokens
    fresh = check(session, watched, [visual], "How many are there?", follow_up=False)
    assert num_visual < fresh.cached_tokens < first.prompt_tokens
    again = check(session, watched, [visual], "How many are there?", follow_up=False)
    assert again.cached_tokens == again.prompt_tokens - 1
    assert again.text == fresh.text
    changed = check(session, watched, [visual], "What happens?", follow_up=False)
    assert changed.text == first.text
    assert len(session.turns) == 2


@pytest.mark.parametrize("model_type", BACKBONES)
def test_every_backbone_answers_as_without_reuse(processor, model_type, monkeypatch):
    model = make_model(make_config(model_type))
    seen = watch(model, monkeypatch)
    visual = make_visual("video", num_frames=4)
    session = Session(model, processor)
    session.add(visual)
    for follow_up in (True, True, False):
        answer = check(session, seen, [visual], "What is it?", follow_up=follow_up)
    assert answer.cached_tokens > session.num_visual_tokens


@pytest.mark.parametrize("window", [16, 4096])
def test_a_sliding_window(processor, monkeypatch, window):
    """A window that was full cannot go back: such prompts are run whole, and the answers stay right."""
    model = make_model(make_config("gemma2", sliding_window=window))
    seen = watch(model, monkeypatch)
    visual = make_visual("video", num_frames=4)
    session = Session(model, processor)
    session.add(visual)
    check(session, seen, [visual], "What is it?")
    fresh = check(session, seen, [visual], "Why?", follow_up=False)
    assert (fresh.cached_tokens > 0) == (window == 4096)
    check(session, seen, [visual], "And then?")


def test_a_state_space_model(processor, monkeypatch):
    text = {
        "model_type": "mamba",
        "vocab_size": 261,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 8,
    }
    config = oryx.OryxConfig(
        vision_config=make_config().vision_config, text_config=text, compressor_dim=16, image_token_id=260
    )
    torch.manual_seed(0)
    model = oryx.OryxForConditionalGeneration(config).eval()
    session = Session(model, processor)
    session.add(make_visual())
    first = session.ask("What?", max_new_tokens=3)
    second = session.ask("What?", max_new_tokens=3, follow_up=False)
    assert (second.text, second.cached_tokens) == (first.text, 0)


def test_positions_by_length_share_nothing(processor):
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    session = Session(make_model(make_config(rope_parameters=rope)), processor)
    session.add(make_visual())
    session.ask("What?", max_new_tokens=2)
    assert session.ask("Why?", max_new_tokens=2).cached_tokens == 0


def test_a_visual_is_added_to_a_conversation(model, processor, watched):
    image, video = make_visual(seed=1), make_visual("video", seed=2)
    session = Session(model, processor)
    session.add(image)
    first = check(session, watched, [image], "What?")
    session.add(video)
    second = check(session, watched, [image, video], "And in <image> this?")
    assert second.cached_tokens >= first.prompt_tokens
    third = check(session, watched, [image, video], "Both?", follow_up=False)
    assert third.cached_tokens >= session._visuals[0].tokens.num_tokens


def test_text_alone(model, processor, watched):
    session = Session(model, processor)
    check(session, watched, [], "Why?")
    assert check(session, watched, [], "Why not?").cached_tokens > 0
    assert "visual_embeds" not in session.prompt("What?")


@pytest.mark.parametrize("kind", ["video", "views"])
@pytest.mark.parametrize("compression", [None, 1, 16])
def test_appended_frames_are_those_of_the_whole_video(model, processor, watched, kind, compression):
    frames = [make_picture(32, 48, seed) for seed in range(6)]
    start, whole = ({"type": kind, kind: part, "compression": compression} for part in (frames[:2], frames))
    session = Session(model, processor)
    session.add(start)
    first = check(session, watched, [start], "What happens?")
    with_three = {**whole, kind: frames[:5]}
    num_more = session.append(frames[2:5])
    follow_up = check(session, watched, [with_three], "And now?")
    assert follow_up.cached_tokens < first.prompt_tokens  # the first question stands behind more frames now
    session.append([np.asarray(frames[5])])
    fresh = check(session, watched, [whole], "What happens?", follow_up=False)
    assert fresh.cached_tokens > num_more
    expected = processor.encode_sample(make_conversation("<image>\nWhat happens?"), [whole], None)
    batch = session.prompt("What happens?", follow_up=False)
    assert batch["input_ids"][0].tolist() == expected.ids.tolist()
    embeds = oryx.encode(model, processor, whole)
    torch.testing.assert_close(batch["visual_embeds"], embeds, atol=1e-5, rtol=1e-5)


def test_earlier_frames_are_not_encoded_again(model, processor, monkeypatch):
    session = Session(model, processor)
    session.add(make_visual("video", num_frames=5))
    counts = []
    encode_views = model.encode_views
    monkeypatch.setattr(model, "encode_views", lambda *a: counts.append(len(a[1])) or encode_views(*a))
    session.append([make_picture()])
    session.append([make_picture()] * 2)
    session.ask("What?", max_new_tokens=1)
    assert counts == [1, 2]


def test_the_default_ratio_is_settled_when_the_video_is_added(model, processor):
    session = Session(model, processor)
    session.add(make_visual("video", num_frames=64))
    session.append([make_picture()])
    assert [view.compression for view in session._visuals[0].tokens.views] == [4] * 65
    session.append([make_picture()], compression=16)
    assert session._visuals[0].tokens.views[-1].compression == 16


def test_frames_go_to_the_last_video(model, processor):
    session = Session(model, processor)
    session.add(make_visual("video", seed=1, num_frames=2))
    session.add(make_visual("video", seed=2, num_frames=2))
    session.add(make_visual(seed=3))
    session.append([make_picture()])
    assert [len(visual.tokens.views) for visual in session._visuals] == [2, 3, 2]
    assert session.append([]) == 0


@pytest.mark.parametrize("visuals", [[], [make_visual()]])
def test_without_a_video_there_is_nothing_to_append_to(model, processor, visuals):
    session = Session(model, processor)
    for visual in visuals:
        session.add(visual)
    with pytest.raises(ConfigError, match="no video to append to"):
        session.append([make_picture()])


def test_times_of_appended_frames(model, processor, video):
    frames = [make_picture(seed=seed) for seed in range(4)]
    listed = {"type": "video", "video": frames[:2], "fps": 2.0, "timestamps": True}
    session = Session(model, processor)
    session.add(listed)
    session.append(frames[2:])
    assert session._visuals[0].note == "Frames at 0.0 s, 0.5 s, 1.0 s, 1.5 s."
    session = Session(model, processor)
    session.add({"type": "video", "video": str(video()), "max_frames": 2, "timestamps": True})
    with pytest.raises(ConfigError, match="give the times"):
        session.append(frames)
    with pytest.raises(ConfigError, match="1 times came with 4 frames"):
        session.append(frames, times=[3.0])
    session.append(frames[:2], times=[3.0, 4.5])
    assert session._visuals[0].note == "Frames at 0.0 s, 2.2 s, 3.0 s, 4.5 s."


def test_sessions_share_a_cache(model, processor, monkeypatch, video):
    path = video()
    path.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    visual = {"type": "video", "video": str(path), "subtitles": True, "timestamps": True}
    cache = VisualTokenCache()
    sessions = [Session(model, processor, cache) for _ in range(3)]
    sessions[0].add(visual)
    monkeypatch.setattr(model, "encode_views", lambda *_: pytest.fail("it was encoded again"))
    sessions[1].add(visual)
    assert sessions[1].ask("What?", max_new_tokens=4).text == sessions[0].ask("What?", max_new_tokens=4).text
    path.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nGoodbye\n")
    sessions[2].add(visual)
    assert "Hello" in sessions[1]._visuals[0].note
    assert "Goodbye" in sessions[2]._visuals[0].note


def test_what_is_longer_than_the_model_reads_is_refused(processor, monkeypatch):
    model = make_model(make_config(max_position_embeddings=200))
    session = Session(model, processor)
    num_tokens = session.add(make_visual("video", num_frames=3))
    room = 200 - session.prompt("What?")["input_ids"].shape[1]
    with pytest.raises(ConfigError, match=f"may take {room + 1}, together 201, .* at most 200"):
        session.ask("What?", max_new_tokens=room + 1)
    assert session.turns == []
    with monkeypatch.context() as patched:
        patched.setattr(model, "encode_views", lambda *_: pytest.fail("it was encoded"))
        with pytest.raises(ConfigError, match="at most 200"):
            session.add(make_visual("video", num_frames=30))
        with pytest.raises(ConfigError, match="at most 200"):
            session.append([make_picture()] * 30)
    assert session.num_visual_tokens == num_tokens
    assert session.ask("What?", max_new_tokens=room).num_tokens == room


def test_markers(model, processor):
    session = Session(model, processor)
    session.add(make_visual())
    with pytest.raises(AlignmentError, match="2 <image> but 1 media"):
        session.ask("<image> or <image>?")
    session.ask("This <image> is what?", max_new_tokens=1)
    assert session.turns[0]["value"] == "This <image> is what?"
    with pytest.raises(AlignmentError, match="1 <image> but 0 media"):
        session.ask("<image>?")
    session.restart()
    assert session.turns == []
    session.ask("What?", max_new_tokens=1)
    assert session.turns[0]["value"] == "<image>\nWhat?"


def test_a_marker_in_an_answer_is_no_visual_of_the_next_prompt(model, processor, monkeypatch):
    session = Session(model, processor)
    said = processor.tokenizer("an <image> there", return_tensors="pt", split_special_tokens=True).input_ids

    def generate(input_ids, **_):
        from transformers.generation import GenerateDecoderOnlyOutput

        return GenerateDecoderOnlyOutput(sequences=torch.cat([input_ids, said], 1))

    monkeypatch.setattr(model, "generate", generate)
    assert session.ask("What?").text == "an <image> there"
    assert session.ask("And then?").text == "an <image> there"


def test_words_as_they_come(model, processor):
    session, words = Session(model, processor), []
    session.add(make_visual())
    answer = session.ask("What?", max_new_tokens=20, write=words.append)
    assert "".join(words).strip() == answer.text
    assert 0 < answer.first_token_seconds <= answer.seconds


def test_an_answer_that_is_stopped_changes_nothing(model, processor, watched):
    visual = make_visual()
    session = Session(model, processor)
    session.add(visual)
    check(session, watched, [visual], "What?")
    turns = list(session.turns)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.ask("And then?", max_new_tokens=20, write=stop)
    assert session.turns == turns
    assert check(session, watched, [visual], "And then?").cached_tokens == 0


def test_temperature_samples(model, processor):
    session = Session(model, processor)
    answers = {session.ask("What?", False, 12, temperature=5.0).text for _ in range(4)}
    assert len(answers) > 1


@pytest.mark.parametrize("settings", [{"max_new_tokens": 0}, {"temperature": -1.0}])
def test_sampling_out_of_range(model, processor, settings):
    with pytest.raises(ConfigError):
        Session(model, processor).ask("What?", **settings)


def test_prompt_style(model, processor):
    lengths = []
    for style in (None, "train", "eval"):
        session = Session(model, processor, prompt_style=style)
        session.add(make_visual())
        lengths.append(session.prompt("What?")["input_ids"].shape[1])
    assert lengths[0] == lengths[1] == lengths[2] + 1
    with pytest.raises(ConfigError, match="prompt_style"):
        Session(model, processor, prompt_style="other")


def test_changed_weights_are_refused(processor):
    model = make_model()
    session = Session(model, processor)
    session.add(make_visual())
    with torch.no_grad():
        model.projector.end.add_(1.0)
    for action in (lambda: session.ask("What?"), lambda: session.add(make_visual())):
        with pytest.raises(ConfigError, match="weights changed"):
            action()
    assert home.Session(model, processor).ask("What?", max_new_tokens=1).num_tokens == 1


def test_patches_made_elsewhere(model, processor, watched):
    from oryx.processing.visuals import encode_visual

    frames = [make_picture(32, 48, seed) for seed in range(3)]
    encoded = encode_visual({"type": "video", "video": frames[:2]}, processor.rule)
    session = Session(model, processor)
    session.add(encoded)
    session.append(frames[2:])
    check(session, watched, [{"type": "video", "video": frames}], "What?")


def test_nano_answers_as_without_reuse(monkeypatch):
    """The shipped model, real media, real answers: image and video, follow-ups and fresh questions."""
    model, processor = oryx.load("nano", device="cpu", dtype="float32")
    seen = watch(model, monkeypatch)
    visuals = [
        {"type": "image", "image": EXAMPLES / "scene.png"},
        {"type": "video", "video": EXAMPLES / "order.mp4"},
    ]
    session = oryx.Session(model, processor, cache=oryx.VisualTokenCache())
    for visual in visuals:
        session.add(visual)
    check(session, seen, visuals, "What is at the bottom left?")
    for question, follow_up in (("Which comes first?", True), ("How many objects are there?", False)):
        assert check(session, seen, visuals, question, follow_up=follow_up).cached_tokens > 300


def test_a_budget_counts_what_the_session_holds():
    """A second visual within the context that the first one left."""
    model, processor = make_model(), make_processor()
    model.config.text_config.max_position_embeddings = 600
    sizes = model_sizes(model.config, "float32")
    processor.planner = Planner(processor.rule, sizes)
    session = oryx.Session(model, processor)
    frames = [Image.new("RGB", (32, 32), (8 * n, 0, 0)) for n in range(12)]
    session.add({"type": "video", "video": frames}, budget=200)
    session.add({"type": "video", "video": frames}, budget=10**6)
    assert session.num_visual_tokens <= 600
    assert session.ask("What?", max_new_tokens=2).prompt_tokens <= 598
