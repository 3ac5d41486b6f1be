"""The processor: every way in gives the same batch, and its settings survive a save."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from oryx.data.marks import Mark
from oryx.errors import AlignmentError, ConfigError, MediaError
from oryx.processing.geometry import num_visual_tokens
from oryx.processing.processor import OryxProcessor
from oryx.processing.visuals import EncodedVisual, encode_visual

Picture = Callable[..., Image.Image]
VISUAL_KEYS = {"patches", "grids", "compressions", "visual_lengths", "visual_kinds"}


def ask(question: str, answer: str | None = None) -> list[dict[str, Any]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def assert_same(left: Any, right: Any) -> None:
    assert set(left) == set(right)
    for key in left:
        assert torch.equal(left[key], right[key]), key


def test_the_batch_of_one_conversation(processor: OryxProcessor, picture: Picture) -> None:
    visuals = [
        {"type": "image", "image": picture(), "compression": 4},
        {"type": "video", "video": [picture()] * 3, "compression": [1, 4, 16]},
    ]
    batch = processor.encode_conversation(ask("<image>a<image>\nb", "c"), visuals)
    assert set(batch) == {"input_ids", "attention_mask", "labels"} | VISUAL_KEYS
    assert batch["patches"].dtype == torch.uint8
    assert batch["patches"].shape == (int(batch["grids"].prod(1).sum()), 48)
    assert batch["compressions"].tolist() == [4, 4, 1, 4, 16]
    assert batch["visual_lengths"].tolist() == [2, 3]
    assert batch["visual_kinds"].tolist() == [0, 1]
    counts = [encode_visual(visual, processor.rule).num_tokens for visual in visuals]
    assert int((batch["input_ids"] == processor.image_token_id).sum()) == sum(counts)


def test_text_only_has_no_visual_keys(processor: OryxProcessor) -> None:
    assert set(processor.encode_conversation(ask("a", "b"))) == {"input_ids", "attention_mask", "labels"}
    assert "labels" not in processor.encode_conversation(ask("a", "b"), supervise=None)


def test_a_batch_of_unlike_samples_equals_each_alone(processor: OryxProcessor, picture: Picture) -> None:
    conversations = [ask("<image>\na", "b"), ask("longer, no picture", "c"), ask("<image><image>", "d")]
    one = {"type": "image", "image": picture(30, 20)}
    two = {"type": "views", "views": [picture(seed=1), picture(seed=2)]}
    visuals = [[one], [], [two, one]]
    batch = processor.encode_conversation(conversations, visuals)
    patches = []
    for row, (conversation, own) in enumerate(zip(conversations, visuals)):
        alone = processor.encode_conversation(conversation, own)
        length = alone["input_ids"].shape[1]
        for key in ("input_ids", "labels", "attention_mask"):
            assert torch.equal(batch[key][row, :length], alone[key][0])
        assert not batch["attention_mask"][row, length:].any()
        assert (batch["labels"][row, length:] == -100).all()
        patches += [alone["patches"]] if own else []
    assert torch.equal(batch["patches"], torch.cat(patches))


def test_padding_is_on_the_left_where_the_model_goes_on(processor: OryxProcessor) -> None:
    open_turns = processor.encode_conversation([ask("a"), ask("longer")])
    assert open_turns["attention_mask"][0, 0] == 0
    closed = processor.encode_conversation([ask("a", "b"), ask("longer", "b")])
    assert closed["attention_mask"][0, -1] == 0
    forced = processor.encode_conversation([ask("a", "b"), ask("longer", "b")], padding_side="left")
    assert forced["attention_mask"][0, 0] == 0


def test_all_ways_in_agree(processor: OryxProcessor, picture: Picture) -> None:
    image = {"type": "image", "image": picture(), "compression": 4, "detail": "low"}
    views = {"type": "views", "views": [picture(seed=1)] * 2, "compression": 1}
    expected = processor.encode_conversation(ask("<image>\nOne?<image>Two?"), [views, image], supervise=None)
    content = [
        views,
        {"type": "text", "text": "\nOne?"},
        image,
        {"type": "text", "text": "Two?"},
    ]
    messages = [{"role": "user", "content": content}]
    chatted = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert_same(chatted, expected)
    sample = processor.encode_messages(messages)
    assert sample.ids.tolist() == expected["input_ids"][0].tolist()
    for name in ("patches", "grids", "compressions", "visual_lengths", "visual_kinds"):
        assert np.array_equal(getattr(sample, name), expected[name].numpy())
    with pytest.raises(ConfigError, match="takes no argument 'sompression'"):
        processor.encode_messages(messages, sompression=2)
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    assert text == "<|im_start|>user\n<video>\nOne?<image>Two?<|im_end|>\n<|im_start|>assistant\n"
    called = processor(text=[text], images=[image], videos=[views], return_tensors="pt", padding=True)
    assert_same(called, expected)
    rendered, _ = render_jinja_template(
        conversations=[messages], chat_template=processor.chat_template, add_generation_prompt=True
    )
    assert rendered == [text]


@pytest.mark.parametrize("style", ["train", "eval"])
def test_ways_in_agree_where_text_begins_with_a_newline(
    processor: OryxProcessor, picture: Picture, style: Any
) -> None:
    """Tokenised as one string, the header's newline and the text's would merge into one token."""
    expected = processor.encode_conversation(
        ask("\n<image>\nWhat?"), [{"image": picture()}], supervise=None, prompt_style=style
    )
    text = "<|im_start|>user\n\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\n"
    assert_same(processor(text=text, images=picture(), prompt_style=style), expected)


def test_the_published_system_prompt_is_the_default(tokenizer: PreTrainedTokenizerBase) -> None:
    processor = OryxProcessor(tokenizer)
    text = processor.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    opening = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi"
    assert text.startswith(opening)
    assert processor.decode(processor.encode_conversation(ask("Hi"))["input_ids"][0]) == text
    own = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert processor.apply_chat_template(own).startswith(
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user"
    )
    for messages in (own, own[1:]):
        rendered, _ = render_jinja_template(conversations=[messages], chat_template=processor.chat_template)
        assert rendered == [processor.apply_chat_template(messages)]


def test_chat_batches_and_forms(processor: OryxProcessor, picture: Picture) -> None:
    short = [
        {"role": "user", "content": [{"type": "image", "image": picture()}, {"type": "text", "text": "a"}]}
    ]
    long = [{"role": "user", "content": "a question without a picture" * 10}]
    options = {"add_generation_prompt": True, "tokenize": True}
    batch = processor.apply_chat_template([short, long], **options, return_dict=True)
    assert batch["attention_mask"][0, 0] == 0  # left padding, as generation needs it
    alone = processor.apply_chat_template(short, **options)
    assert torch.equal(batch["input_ids"][0, -alone.shape[1] :], alone[0])
    ids = processor.apply_chat_template(short, **options, return_tensors=None)
    assert ids == alone[0].tolist()
    strings = processor.apply_chat_template([short, long])
    assert len(strings) == 2
    arrays = processor.apply_chat_template(short, **options, return_dict=True, return_tensors="np")
    assert isinstance(arrays["patches"], np.ndarray)


def test_dials_of_the_call_fill_in(processor: OryxProcessor, picture: Picture) -> None:
    content = [{"type": "image", "image": picture()}, {"type": "image", "image": picture(), "compression": 1}]
    messages = [{"role": "user", "content": content}]
    batch = processor.apply_chat_template(
        messages,
        tokenize=True,
        return_dict=True,
        compression=4,
        num_frames=8,
        load_audio_from_video=False,
        processor_kwargs={"detail": "low", "return_tensors": "pt"},
    )
    assert batch["compressions"].tolist() == [4, 1]
    called = processor(text="<image>", images=[picture()], compression=16)
    assert called["compressions"].tolist() == [16, 16]
    encoded = processor.encode_conversation(
        ask("<image>"), [{"image": picture()}], compression=2, detail="low"
    )
    assert encoded["compressions"].tolist() == [2]


def test_a_call_takes_images_and_videos_in_any_shape(processor: OryxProcessor, picture: Picture) -> None:
    one, two = picture(seed=1), picture(seed=2)
    flat = processor(text=["<image>", "<image>"], images=[one, two])
    nested = processor(text=["<image>", "<image>"], images=[[one], [two]])
    assert_same(flat, nested)
    frames = processor(text="<video>", videos=[one, two])
    assert_same(frames, processor(text="<video>", videos=[[one, two]]))
    assert_same(frames, processor(text="<video>", videos=np.stack([np.asarray(one), np.asarray(two)])))
    assert frames["visual_lengths"].tolist() == [2]


def test_special_tokens_count_in_text_that_is_no_chatml(processor: OryxProcessor) -> None:
    batch = processor(text="a<|im_end|>", return_tensors=None)
    assert batch["input_ids"] == [[*processor.tokenizer("a").input_ids, processor.tokenizer.eos_token_id]]


def test_without_padding(processor: OryxProcessor) -> None:
    ragged = processor(text=["a", "bc"], return_tensors=None, padding=False)
    assert [len(ids) for ids in ragged["input_ids"]] == [1, 2]
    assert ragged["attention_mask"] == [[1], [1, 1]]
    with pytest.raises(ConfigError, match="padding=True"):
        processor(text=["a", "bc"], padding=False)


def test_decoding_leaves_visuals_and_markers_out(processor: OryxProcessor, picture: Picture) -> None:
    batch = processor.encode_conversation(ask("<image>Hi", "Yo"), [{"image": picture()}])
    assert processor.batch_decode(batch["input_ids"], skip_special_tokens=True) == [
        "user\n\nHi\nassistant\nYo\n"
    ]


def test_frame_times_stand_behind_the_video(processor: OryxProcessor, picture: Picture) -> None:
    visual = {"type": "video", "video": [picture()] * 2, "fps": 1, "timestamps": True}
    batch = processor.encode_conversation(ask("<image>\nWhen?"), [visual])
    expected = processor.encode_conversation(
        ask("<image>\nFrames at 0.0 s, 1.0 s.\nWhen?"), [{**visual, "timestamps": False}]
    )
    assert_same(batch, expected)


def test_marks_supervise_the_token_they_point_at(processor: OryxProcessor, picture: Picture) -> None:
    marks = [Mark(1, 0.9, 0.1, "red"), Mark(1, 0.95, 0.05, "blue"), Mark(0, 0.0, 0.9, "car")]
    visual = {"type": "video", "video": [picture(16, 16)] * 2, "marks": marks}
    sample = processor.encode_sample(ask("<image>", "x"), [visual])
    plain = processor.encode_sample(ask("<image>", "x"), [{**visual, "marks": []}])
    start = sample.spans[0][0]
    assert sample.labels is not None
    assert plain.labels is not None
    changed = np.flatnonzero(sample.labels != plain.labels) - start
    # two frames of 2 x 2 tokens: begin, 2 rows of 3, separator, 2 rows of 3; a label is one place on
    assert changed.tolist() == [1 + 1 + 1, 1 + 6 + 1 + 3 + 1]
    targets = sample.labels[changed + start].tolist()
    assert targets == [processor.tokenizer(word).input_ids[0] for word in ("car", "red")]
    unsupervised = processor.encode_sample(ask("<image>", "x"), [visual], supervise="published").labels
    published = processor.encode_sample(ask("<image>", "x"), [{**visual, "marks": []}], supervise="published")
    assert np.array_equal(unsupervised, published.labels)
    with pytest.raises(ConfigError, match="mark"):
        processor.encode_sample(ask("<image>", "x"), [{**visual, "marks": [Mark(0, 0, 0, "")]}])


def test_a_visual_is_opened_once_for_many_turns(processor: OryxProcessor, picture: Picture) -> None:
    visual = {"type": "image", "image": picture()}
    encoded = encode_visual(visual, processor.rule)
    fresh = processor.encode_conversation(ask("<image>"), [visual])
    assert_same(processor.encode_conversation(ask("<image>"), [encoded]), fresh)
    hollow = EncodedVisual(encoded.kind, encoded.views, None)
    without = processor.encode_conversation(ask("<image>"), [hollow])
    assert "patches" not in without
    assert torch.equal(without["input_ids"], fresh["input_ids"])
    with pytest.raises(AlignmentError, match="patches or embeddings"):
        processor.encode_conversation(ask("<image><image>"), [hollow, visual])


def test_settings_survive_a_save(processor: OryxProcessor, picture: Picture, tmp_path: Path) -> None:
    processor.prompt_style = "eval"
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, OryxProcessor)
    assert loaded.to_dict() == processor.to_dict()
    assert loaded.rule == processor.rule
    assert loaded.image_token_id == processor.image_token_id
    assert loaded.tokenizer.padding_side == "left"
    assert loaded.chat_template == processor.chat_template
    sample = (ask("<image>\n\na<|im_end|>", "b"), [{"image": picture()}])
    assert_same(loaded.encode_conversation(*sample), processor.encode_conversation(*sample))
    overridden = OryxProcessor.from_pretrained(tmp_path, prompt_style="train")
    assert overridden.prompt_style == "train"


def test_it_can_be_sent_to_a_worker(processor: OryxProcessor) -> None:
    processor.encode_conversation(ask("a"))
    copy = pickle.loads(pickle.dumps(processor))
    assert_same(copy.encode_conversation(ask("a")), processor.encode_conversation(ask("a")))


def test_planning_engines_get_the_same_counts(processor: OryxProcessor, picture: Picture) -> None:
    plan = processor._get_num_multimodal_tokens(image_sizes=[(16, 24), (40, 8)])
    for index, size in enumerate([(16, 24), (40, 8)]):
        encoded = encode_visual({"image": picture(*size)}, processor.rule)
        assert plan["num_image_tokens"][index] == num_visual_tokens(encoded.kind, encoded.views)
        assert plan["num_image_patches"][index] == len(encoded.patches if encoded.patches is not None else [])


def test_wrong_settings(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError, match="did you mean 'patch_size'"):
        OryxProcessor(tokenizer, resize_rule={"patch_siz": 8})
    with pytest.raises(ConfigError, match="prompt_style"):
        OryxProcessor(tokenizer, prompt_style="inference")  # type: ignore[arg-type]


@pytest.mark.parametrize("style", ["inference", "", ["train"], 1])
def test_a_prompt_style_of_a_request_is_checked(processor: OryxProcessor, style: Any) -> None:
    with pytest.raises(ConfigError, match=r'prompt_style must be "train" or "eval"'):
        processor.chat_encoder(style)


def test_wrong_calls(processor: OryxProcessor, picture: Picture) -> None:
    with pytest.raises(AlignmentError, match="1 <image> but 0 visuals"):
        processor(text="<image>")
    with pytest.raises(AlignmentError, match="0 <video> but 1 visuals"):
        processor(text="<image>", images=[picture()], videos=["a.mp4"])
    with pytest.raises(AlignmentError, match="2 conversations came with 1"):
        processor.encode_conversation([ask("a"), ask("b")], [[]])
    with pytest.raises(AlignmentError, match="2 <image> but 1 visuals"):
        processor.encode_conversation(ask("<image><image>"), [{"image": picture()}])
    with pytest.raises(ConfigError, match="text is missing"):
        processor(images=[picture()])
    with pytest.raises(ConfigError, match="did you mean 'compression'"):
        processor(text="a", compresion=4)
    with pytest.raises(ConfigError, match="truncation=True"):
        processor(text="a", truncation=True)
    with pytest.raises(ConfigError, match="return_tensors"):
        processor(text="a", return_tensors="tf")
    with pytest.raises(ConfigError, match="padding"):
        processor(text="a", padding="max_length")
    with pytest.raises(ConfigError, match="at least one turn"):
        processor.encode_conversation([])
    with pytest.raises(ConfigError, match="at least one message"):
        processor.apply_chat_template([])
    with pytest.raises(MediaError, match=r"visual 2 of 2: .*nowhere\.png"):
        processor.encode_conversation(ask("<image><image>"), [{"image": picture()}, {"image": "nowhere.png"}])
