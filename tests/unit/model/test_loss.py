"""The loss in chunks is the loss at once: the same value, the same gradients, much smaller logits."""

import pytest
import torch
from factories import BACKBONES, VOCAB_SIZE, encode, make_config, make_model, make_processor, unlike_samples

from oryx.model import loss as loss_module
from oryx.model.loss import cross_entropy, features_at, logits_only_at


@pytest.fixture
def batch():
    return encode(make_processor(), unlike_samples()[:5], supervise="published")


def loss_and_gradients(model, batch, monkeypatch, rows, **kwargs):
    monkeypatch.setitem(loss_module.CHUNK_VALUES, "cpu", rows * VOCAB_SIZE)
    model.zero_grad()
    loss = model(**batch, **kwargs).loss
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("rows", [1, 7])
def test_chunks_change_neither_loss_nor_gradients(batch, monkeypatch, backbone, rows):
    model = make_model(make_config(backbone)).train()
    expected, gradients = loss_and_gradients(model, batch, monkeypatch, 10**6)
    loss, found = loss_and_gradients(model, batch, monkeypatch, rows)
    torch.testing.assert_close(loss, expected)
    assert found.keys() == gradients.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def test_the_logit_rules_of_the_language_model_reach_the_chunks(batch, monkeypatch):
    capped = make_model(make_config("gemma2"), seed=1).train()
    free = make_model(make_config("gemma2", final_logit_softcapping=None), seed=1).train()
    first, second = (loss_and_gradients(model, batch, monkeypatch, 3)[0] for model in (capped, free))
    assert abs(first - second) > 0.1


def test_tied_heads_and_checkpointed_layers(batch, monkeypatch):
    model = make_model(make_config(tie_word_embeddings=True)).train()
    expected, gradients = loss_and_gradients(model, batch, monkeypatch, 10**6)
    model.gradient_checkpointing_enable()
    loss, found = loss_and_gradients(model, batch, monkeypatch, 5)
    torch.testing.assert_close(loss, expected)
    name = "language_model.model.embed_tokens.weight"
    torch.testing.assert_close(found[name], gradients[name], atol=1e-5, rtol=1e-4)


def test_the_sum_is_divided_by_what_the_caller_says(batch, monkeypatch):
    model = make_model().train()
    supervised = int((batch["labels"][:, 1:] != -100).sum())
    mean, _ = loss_and_gradients(model, batch, monkeypatch, 4)
    total, _ = loss_and_gradients(model, batch, monkeypatch, 4, num_items_in_batch=torch.tensor(2))
    torch.testing.assert_close(total * 2, mean * supervised)


def test_no_chunk_is_larger_than_it_may_be(batch, monkeypatch):
    model, seen = make_model().train(), []
    model.get_output_embeddings().register_forward_hook(lambda *hook: seen.append(hook[2].shape[1]))
    loss_and_gradients(model, batch, monkeypatch, 6)
    supervised = int((batch["labels"][:, 1:] != -100).sum())
    forward = seen[1 : 2 + (supervised - 1) // 6]
    assert seen[0] == 0  # the decoder's own pass makes no logits
    assert sum(forward) == supervised
    assert max(seen) == 6
    assert len(seen) == 1 + 2 * len(forward)  # and once more for the gradient


def test_a_head_that_drops_values_drops_the_same_for_the_gradient(batch, monkeypatch):
    model, seen = make_model().train(), []

    def drop(_, args):
        kept = torch.rand_like(args[0]) > 0.5
        if kept.numel():
            seen.append(kept)
        return (args[0] * kept,)

    model.get_output_embeddings().register_forward_pre_hook(drop)
    loss_and_gradients(model, batch, monkeypatch, 6)
    chunks = len(seen) // 2
    assert chunks > 1
    assert all(any(torch.equal(first, kept) for kept in seen[chunks:]) for first in seen[:chunks])


def test_the_decoder_is_itself_again(batch, monkeypatch):
    model = make_model().train()
    loss_and_gradients(model, batch, monkeypatch, 2)
    assert "forward" not in model.language_model.base_model.__dict__
    assert not model.language_model.base_model._forward_hooks
    model.eval()
    with torch.no_grad():
        assert model(**batch).logits.shape[-1] == VOCAB_SIZE


def test_a_batch_that_reaches_nothing_that_learns_has_an_empty_gradient(monkeypatch):
    texts = encode(make_processor(), unlike_samples()[:1], supervise="published")
    model = make_model().train().requires_grad_(False)
    model.projector.requires_grad_(True)
    _, gradients = loss_and_gradients(model, texts, monkeypatch, 2)
    assert gradients == {}


def test_positions_are_chosen_in_order():
    where = torch.tensor([[False, True, True], [True, False, False]])
    head = torch.nn.Linear(4, 5)
    features = torch.randn(2, 3, 4)
    with logits_only_at(head, where):
        chosen = head(features)
    torch.testing.assert_close(chosen, head(features[where])[None])
    assert head(features).shape == (2, 3, 5)


def test_features_are_taken_out_of_the_way():
    model = make_model().language_model
    where = torch.tensor([[False, True, True]])
    ids = torch.tensor([[1, 2, 3]])
    expected = model.base_model(ids).last_hidden_state[where]
    with features_at(model.base_model, where) as kept:
        assert model(ids).logits.shape == (1, 0, VOCAB_SIZE)
    torch.testing.assert_close(kept[0][0], expected)


def test_nothing_supervised_costs_nothing():
    assert cross_entropy(torch.randn(2, 5), torch.full((2,), -100)) == 0
