"""Parts that a step did not use stay as they are."""

import torch
from factories import encode, make_model, make_processor, unlike_samples

from oryx.training.callbacks import LeaveUnused


def test_unused_parts_lose_their_gradients():
    model = make_model().train()
    model(**encode(make_processor(), unlike_samples()[:2])).loss.backward()
    callback = LeaveUnused(model)
    callback.on_pre_optimizer_step(None, None, None)
    assert all(parameter.grad is not None for parameter in model.projector.parameters())
    callback.parts = ("compressor", "projector")
    callback.on_pre_optimizer_step(None, None, None)
    assert all(parameter.grad is None for parameter in model.projector.parameters())
    assert any(parameter.grad is not None for parameter in model.vision_tower.parameters())
    assert torch.is_tensor(model.get_input_embeddings().weight.grad)
