"""The whole model: batches equal samples alone, packed rows do not leak, losses and gradients are exact."""

import pytest
import torch
import torch.nn.functional as F
from factories import (
    BACKBONES,
    IMAGE_TOKEN_ID,
    encode,
    make_config,
    make_conversation,
    make_model,
    make_processor,
    make_visual,
    unlike_samples,
)

from oryx.errors import AlignmentError, ConfigError
from oryx.model.cache_name import CACHE, CACHE_NAMES
from oryx.model.modeling import VISUAL_KEYS, check_alignment
from oryx.processing.collate import pack_rows

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def processor():
    return make_processor()


@pytest.fixture(scope="module", params=BACKBONES)
def model(request):
    return make_model(make_config(request.param))


@pytest.fixture(scope="module")
def qwen():
    return make_model()


@pytest.fixture
def samples():
    return unlike_samples()


def visuals_of(batch):
    return {key: batch[key] for key in VISUAL_KEYS}


def gradients_of(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(actual, expected, **tolerance):
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, msg=name, **tolerance)


# -- one pass over everything --------------------------------------------------------------------------


@torch.no_grad()
def test_one_packed_pass_equals_visuals_one_by_one(qwen, processor, samples):
    packed, spans = qwen.get_visual_embeds(**visuals_of(encode(processor, samples)))
    alone = []
    for sample in samples:
        for visual in sample[1]:
            batch = encode(processor, [(make_conversation("<image>", "a"), [visual])])
            alone.append(qwen.get_visual_embeds(**visuals_of(batch))[0])
    assert spans == [len(embeds) for embeds in alone]
    torch.testing.assert_close(packed, torch.cat(alone), **CLOSE)


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_a_batch_of_unlike_samples_equals_each_alone(model, processor, samples, side):
    batch = encode(processor, samples, padding_side=side)
    logits = model(**batch).logits
    for row, sample in enumerate(samples):
        alone = model(**encode(processor, [sample])).logits[0]
        # Float32 sums over rows of another length: a few 1e-6.
        torch.testing.assert_close(
            logits[row, batch["attention_mask"][row].bool()], alone, atol=5e-5, rtol=1e-4
        )


@torch.no_grad()
def test_given_embeddings_equal_patches(qwen, processor, samples):
    batch = encode(processor, samples)
    embeds, _ = qwen.get_visual_embeds(**visuals_of(batch))
    text = {key: value for key, value in batch.items() if key not in VISUAL_KEYS}
    torch.testing.assert_close(qwen(**text, visual_embeds=embeds).logits, qwen(**batch).logits)


@torch.no_grad()
def test_fused_rows_are_text_and_visuals_in_place(qwen, processor, samples):
    batch = encode(processor, samples)
    embeds, spans = qwen.get_visual_embeds(**visuals_of(batch))
    rows = qwen.fuse(batch["input_ids"], embeds, spans)
    is_visual = batch["input_ids"] == IMAGE_TOKEN_ID
    assert torch.equal(rows[is_visual], embeds)
    assert torch.equal(rows[~is_visual], qwen.get_input_embeddings()(batch["input_ids"][~is_visual]))


@torch.no_grad()
def test_the_placeholder_may_lie_outside_the_vocabulary(processor, samples):
    inside, outside = make_model(), make_model(make_config(vocab_size=IMAGE_TOKEN_ID))
    state = inside.state_dict()
    for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
        state[name] = state[name][:IMAGE_TOKEN_ID]
    outside.load_state_dict(state)
    batch = encode(processor, samples)
    torch.testing.assert_close(outside(**batch).logits, inside(**batch).logits[..., :IMAGE_TOKEN_ID], **CLOSE)


@torch.no_grad()
def test_every_part_of_a_visual_reaches_the_logits(qwen, processor):
    sample = (make_conversation("<image>\nWhat?", "a"), [make_visual("video", compression=4)])
    batch = encode(processor, [sample])
    before = qwen(**batch).logits[0, -1]
    for view in range(len(batch["grids"])):
        size = batch["grids"][0].prod()
        changed = batch["patches"].clone()
        changed[view * size] = 255 - changed[view * size]
        assert (qwen(**{**batch, "patches": changed}).logits[0, -1] - before).abs().max() > 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", CACHE_NAMES)
def test_cached_decoding_equals_the_full_forward(model, processor, samples, name):
    sample = samples[2]
    batch = encode(processor, [sample])
    full = model(**batch).logits
    cut = int((batch["input_ids"][0] == IMAGE_TOKEN_ID).nonzero()[-1]) + 1
    head = {
        **batch,
        "input_ids": batch["input_ids"][:, :cut],
        "attention_mask": batch["attention_mask"][:, :cut],
    }
    head.pop("labels")
    out = model(**head, use_cache=True)
    pieces = [out.logits]
    for position in range(cut, batch["input_ids"].shape[1]):
        out = model(
            input_ids=batch["input_ids"][:, position : position + 1],
            attention_mask=batch["attention_mask"][:, : position + 1],
            **{name: out[CACHE]},
            use_cache=True,
        )
        pieces.append(out.logits)
    torch.testing.assert_close(torch.cat(pieces, 1), full, atol=5e-5, rtol=1e-4)


@torch.no_grad()
def test_eager_equals_sdpa(processor, samples):
    batch = encode(processor, samples)
    logits = []
    for attention in ("eager", "sdpa"):
        model = make_model()
        model.set_attn_implementation(attention)
        assert model.vision_tower.blocks[0].attn.config._attn_implementation == attention
        assert model.language_model.config._attn_implementation == attention
        logits.append(model(**batch).logits[batch["attention_mask"].bool()])
    torch.testing.assert_close(logits[0], logits[1], atol=5e-5, rtol=1e-4)


@torch.no_grad()
def test_bfloat16_is_close_to_float32(processor):
    sample = (make_conversation("<image>What?", "no"), [make_visual(detail="low")])
    batch = encode(processor, [sample])
    exact, halved = make_model()(**batch), make_model().to(torch.bfloat16)(**batch)
    assert halved.logits.dtype == torch.bfloat16
    assert halved.loss.item() == pytest.approx(exact.loss.item(), rel=2e-2)
    assert F.cosine_similarity(exact.logits, halved.logits.float(), dim=-1).min() > 0.995


@torch.no_grad()
def test_logits_to_keep(qwen, processor, samples):
    batch = encode(processor, samples[:3])
    full = qwen(**batch)
    some = torch.tensor([0, 5, 7])
    assert torch.equal(qwen(**batch, logits_to_keep=2).logits, full.logits[:, -2:])
    assert torch.equal(qwen(**batch, logits_to_keep=some).logits, full.logits[:, some])
    assert torch.equal(qwen(**batch, logits_to_keep=some).loss, full.loss)
    batch.pop("labels")
    torch.testing.assert_close(qwen(**batch, logits_to_keep=some).logits, full.logits[:, some])


# -- training ------------------------------------------------------------------------------------------


def test_training_loss_and_gradients_equal_those_of_all_logits(model, processor, samples):
    batch = encode(processor, samples)
    labels = batch["labels"]
    out = model.eval()(**batch)
    plain = F.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    torch.testing.assert_close(out.loss, plain, **CLOSE)
    expected = gradients_of(model, plain)

    seen = []
    handle = model.get_output_embeddings().register_forward_hook(lambda _, args, out: seen.append(out.shape))
    trained = model.train()(**batch)
    handle.remove()
    model.eval()
    assert trained.logits is None
    assert seen == [(1, int((labels[:, 1:] != -100).sum()), model.config.text_config.vocab_size)]
    torch.testing.assert_close(trained.loss, plain, **CLOSE)
    actual = gradients_of(model, trained.loss)
    assert {name.split(".")[0] for name in actual} == {
        "vision_tower",
        "compressor",
        "projector",
        "language_model",
    }
    assert_same_gradients(actual, expected, atol=1e-5, rtol=1e-3)


def test_num_items_in_batch_divides_the_summed_loss(qwen, processor, samples):
    batch = encode(processor, samples)
    count = int((batch["labels"][:, 1:] != -100).sum())
    mean = qwen(**batch).loss
    for mode in (qwen.eval, qwen.train):
        mode()
        for items in (2 * count, torch.tensor(2 * count)):
            torch.testing.assert_close(qwen(**batch, num_items_in_batch=items).loss, mean / 2, **CLOSE)
    qwen.eval()


def test_a_batch_without_supervision_has_loss_zero(qwen, processor, samples):
    batch = encode(processor, samples[:2])
    batch["labels"] = torch.full_like(batch["labels"], -100)
    loss = qwen.train()(**batch).loss
    qwen.eval()
    assert loss.item() == 0
    loss.backward()  # an optimiser step must still be possible


def test_packed_rows_equal_samples_alone(model, processor, samples):
    encoded = [processor.encode_sample(*sample) for sample in samples]
    packed = pack_rows(
        encoded, row_length=2 * max(map(len, encoded)), pad_id=processor.tokenizer.pad_token_id
    )
    assert len(packed["input_ids"]) < len(samples)
    assert "attention_mask" not in packed
    total, count = 0.0, 0
    for sample in samples:
        batch = encode(processor, [sample])
        supervised = int((batch["labels"][:, 1:] != -100).sum())
        total = total + model(**batch).loss * supervised
        count += supervised
    expected = gradients_of(model, total / count)
    for mode in (model.eval, model.train):
        mode()
        loss = model(**packed).loss
        torch.testing.assert_close(loss, total.detach() / count, **CLOSE)
        assert_same_gradients(gradients_of(model, loss), expected, atol=1e-5, rtol=1e-3)
    model.eval()


def test_packed_rows_do_not_leak_without_labels(qwen, processor, samples):
    """An evaluation that looks at logits alone must not leak either."""
    encoded = [processor.encode_sample(*sample) for sample in samples[:2]]
    packed = pack_rows(encoded, row_length=sum(map(len, encoded)), pad_id=0)
    packed.pop("labels")
    with torch.no_grad():
        logits = qwen(**packed).logits[0, len(encoded[0]) :]
        alone = qwen(**encode(processor, samples[1:2])).logits[0]
    torch.testing.assert_close(logits, alone, atol=5e-5, rtol=1e-4)


def test_text_only_works_and_trains(processor):
    model = make_model().train()
    batch = encode(processor, [(make_conversation("What?", "yes"), [])])
    assert "patches" not in batch
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        loss = model(**batch).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is None for p in model.vision_tower.parameters())


@pytest.mark.parametrize(
    ("parts", "sample"),
    [(["projector"], 0), (["compressor"], 1), ([], 1)],
    ids=["text for the projector", "1x for the compressor", "nothing learns"],
)
def test_a_batch_that_reaches_nothing_that_learns_changes_nothing(processor, samples, parts, sample):
    model = make_model().train().requires_grad_(False)
    for part in parts:
        model.get_submodule(part).requires_grad_(True)
    assert gradients_of(model, model(**encode(processor, samples[sample : sample + 1])).loss) == {}
    reached = gradients_of(model, model(**encode(processor, samples[2:3])).loss)
    assert {name.split(".")[0] for name in reached} == set(parts)


@torch.no_grad()
def test_no_loss_asks_for_gradients_where_none_are_kept(processor, samples):
    assert not make_model().train()(**encode(processor, samples[:1])).loss.requires_grad


def test_gradient_checkpointing_changes_no_gradient(processor, samples):
    batch = encode(processor, samples[:4])
    gradients = []
    for checkpointing in (False, True):
        model = make_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert model.vision_tower.blocks[0].gradient_checkpointing
            assert model.language_model.model.layers[0].gradient_checkpointing
        gradients.append(gradients_of(model, model(**batch).loss))
    assert_same_gradients(gradients[1], gradients[0])


@pytest.mark.parametrize("sample", [0, 1], ids=["no visual", "an image at 1x"])
def test_every_weight_has_a_gradient_on_every_rank(qwen, processor, samples, monkeypatch, sample):
    """A rank whose batch lacks a visual, or never asks the compressor, must still join its collectives."""
    batch = encode(processor, samples[sample : sample + 1])
    expected = gradients_of(qwen, qwen.train()(**batch).loss)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    gradients = gradients_of(qwen, qwen(**batch).loss)
    qwen.eval()
    assert gradients.keys() == dict(qwen.named_parameters()).keys()
    assert len(expected) < len(gradients)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected.get(name, torch.zeros_like(gradient)), msg=name)


# -- mistakes ------------------------------------------------------------------------------------------


def test_more_or_fewer_positions_than_the_visuals_bring(qwen, processor, samples):
    batch = encode(processor, samples[1:2])
    where = int((batch["input_ids"][0] == IMAGE_TOKEN_ID).nonzero()[0])
    num = int((batch["input_ids"] == IMAGE_TOKEN_ID).sum())
    batch["input_ids"][0, where] = 5
    with pytest.raises(
        AlignmentError, match=rf"text has {num - 1} visual positions, but 1 visuals bring {num}"
    ):
        qwen(**batch)


def test_a_torn_visual_is_named(qwen, processor, samples):
    batch = encode(processor, samples[2:3])
    places = (batch["input_ids"][0] == IMAGE_TOKEN_ID).nonzero()[:, 0].tolist()
    ids = batch["input_ids"][0]
    # The text right after the second visual moves into its midst.
    ids[places[-2]], ids[places[-1] + 1] = ids[places[-1] + 1].clone(), ids[places[-2]].clone()
    with pytest.raises(AlignmentError, match=r"visual 1 needs .* adjoining positions"):
        qwen(**batch)


def test_a_visual_may_not_run_on_into_the_next_row():
    is_visual = torch.tensor([[False, True, True], [True, False, False]])
    check_alignment(is_visual, [2, 1], exact_runs=True)
    with pytest.raises(AlignmentError, match="visual 0 needs 3"):
        check_alignment(is_visual, [3], exact_runs=True)
    check_alignment(is_visual, [3], exact_runs=False)


def test_placeholders_without_visuals(qwen, processor, samples):
    batch = encode(processor, samples[1:2])
    for key in VISUAL_KEYS:
        batch.pop(key)
    with pytest.raises(AlignmentError, match="visual positions, but no visual was given"):
        qwen(**batch)


def test_visuals_without_placeholders(qwen, processor, samples):
    text, seen = encode(processor, samples[:1]), encode(processor, samples[1:2])
    with pytest.raises(AlignmentError, match="text has 0 visual positions, but 1 visuals bring"):
        qwen(**text, **visuals_of(seen))


def test_patches_without_their_grids(qwen, processor, samples):
    batch = encode(processor, samples[1:2])
    batch.pop("grids")
    batch.pop("visual_kinds")
    with pytest.raises(AlignmentError, match="patches came without grids, visual_kinds"):
        qwen(**batch)


def test_patches_and_embeddings_at_once(qwen, processor, samples):
    batch = encode(processor, samples[1:2])
    embeds, _ = qwen.get_visual_embeds(**visuals_of(batch))
    with pytest.raises(AlignmentError, match="not both"):
        qwen(**batch, visual_embeds=embeds)


def test_ids_or_embeddings(qwen):
    with pytest.raises(AlignmentError, match="exactly one of input_ids and inputs_embeds"):
        qwen()


def test_grids_that_do_not_fit_the_patches(qwen, processor, samples):
    batch = encode(processor, samples[1:2])
    batch["patches"] = batch["patches"][:-1]
    with pytest.raises(AlignmentError, match=r"patches, but .* were given"):
        qwen(**batch)


def test_a_model_that_knows_no_placeholder(processor, samples):
    config = make_config()
    config.image_token_id = None
    model = make_model(config)
    with pytest.raises(ConfigError, match="image_token_id"):
        model(**encode(processor, samples[1:2]))
