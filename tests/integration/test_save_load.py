"""Weights there and back, and streaming encode against one forward pass."""

import weakref

import pytest
import torch
from factories import make_config, make_conversation, make_model, make_picture, make_processor, make_visual

import oryx
from oryx.errors import ConfigError, MediaError
from oryx.model.modeling import VISUAL_KEYS, OryxForConditionalGeneration

CONFIGS = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "rotary": {"vision": {"position_embedding": "rotary", "num_attention_heads": 3}},
}


@pytest.mark.parametrize("max_shard_size", ["1GB", "20KB"], ids=["whole", "sharded"])
@pytest.mark.parametrize("name", CONFIGS)
def test_there_and_back(name, max_shard_size, tmp_path):
    model, processor = make_model(make_config(**CONFIGS[name])), make_processor()
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    processor.save_pretrained(tmp_path)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 2) == (max_shard_size == "20KB")
    expected = model.state_dict()
    for loaded in (
        oryx.load(tmp_path, device="cpu")[0],
        OryxForConditionalGeneration.from_pretrained(tmp_path),
    ):
        state = loaded.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], tensor) for key, tensor in expected.items())
        tied = loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
        assert tied == (name == "tied")


def test_bfloat16_there_and_back(tmp_path):
    model = make_model().to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    loaded, _ = oryx.load(tmp_path, device="cpu", dtype="bfloat16")
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in loaded.state_dict().items())
    assert (
        oryx.load(tmp_path, device="cpu")[0].dtype == torch.float32
    )  # small models compute in float32 on a CPU


# -- streaming encode ------------------------------------------------------------------------------

VISUALS = {
    "image": make_visual(),
    "image at 4x": make_visual(compression=4),
    "low detail": make_visual(detail="low"),
    "video": make_visual("video", num_frames=5),
    "video at 16x": make_visual("video", num_frames=4, compression=16),
    "mixed ratios": make_visual("video", num_frames=5, compression=[1, 4, 16, 4, 2]),
    "views": make_visual("views", num_frames=3),
    "views of many sizes": {
        "type": "views",
        "views": [make_picture(32, 48), make_picture(48, 32), make_picture(20, 20)],
    },
}


@pytest.fixture(scope="module")
def parts():
    return make_model(), make_processor()


@pytest.mark.parametrize("chunk_patches", [1, 100, 8192])
@pytest.mark.parametrize("name", VISUALS)
def test_streaming_equals_one_forward(parts, name, chunk_patches):
    model, processor = parts
    batch = processor.encode_conversation(make_conversation("<image>"), [VISUALS[name]], supervise=None)
    with torch.no_grad():
        expected, (num_tokens,) = model.get_visual_embeds(**{key: batch[key] for key in VISUAL_KEYS})
    tokens = oryx.encode(model, processor, VISUALS[name], chunk_patches=chunk_patches)
    assert len(tokens) == num_tokens
    assert not tokens.requires_grad
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-5)


def test_the_tower_never_sees_more_than_a_chunk(parts, monkeypatch):
    """However many frames there are; and no chunk is kept when the next one is encoded."""
    model, processor = parts
    alive, sizes = [], []
    encode_views = model.encode_views

    def watch(patches, grids, compressions):
        assert not any(reference() is not None for reference in alive)
        alive.append(weakref.ref(patches))
        sizes.append(len(patches))
        return encode_views(patches, grids, compressions)

    monkeypatch.setattr(model, "encode_views", watch)
    progress = []
    visual = make_visual("video", num_frames=12)
    oryx.encode(model, processor, visual, chunk_patches=70, progress=lambda *args: progress.append(args))
    assert max(sizes) <= 70
    assert len(sizes) > 3
    assert progress[-1] == (12, 12)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


def test_what_cannot_be_encoded(parts):
    with pytest.raises(ConfigError):
        oryx.encode(*parts, make_visual(compression=3))
    with pytest.raises(MediaError):
        oryx.encode(*parts, {"type": "video", "video": []})


def test_encoded_tokens_answer_as_patches_do(parts):
    model, processor = parts
    visual = VISUALS["mixed ratios"]
    batch = processor.encode_conversation(make_conversation("<image>What?"), [visual], supervise=None)
    expected = model.generate(**batch, max_new_tokens=5, do_sample=False)
    text = {key: value for key, value in batch.items() if key not in VISUAL_KEYS}
    tokens = oryx.encode(model, processor, visual, chunk_patches=64)
    assert torch.equal(
        model.generate(**text, visual_embeds=tokens, max_new_tokens=5, do_sample=False), expected
    )
