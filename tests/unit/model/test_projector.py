"""The projector: one MLP, and marks in their places."""

import torch
import torch.nn.functional as F
from factories import make_config

from oryx.model.layout import span_index
from oryx.model.projector import Projector
from oryx.processing.geometry import IMAGE, VIDEO


def make_projector():
    torch.manual_seed(0)
    projector = Projector(make_config())
    for mark in (projector.begin, projector.newline, projector.separator, projector.end):
        torch.nn.init.normal_(mark)
    return projector


@torch.no_grad()
def test_mlp():
    projector = make_projector()
    tokens = torch.randn(5, 24)
    hidden = F.gelu(tokens @ projector.fc1.weight.T + projector.fc1.bias)
    expected = hidden @ projector.fc2.weight.T + projector.fc2.bias
    torch.testing.assert_close(projector(tokens), expected)


@torch.no_grad()
def test_marks_stand_in_their_places():
    projector = make_projector()
    tokens = torch.randn(3, 32)
    index, _ = span_index([[1, 2], [1, 1]], [1, 1], [1, 1], [IMAGE, VIDEO])
    rows = projector.arrange(tokens, index)
    p = projector
    image = [p.begin, tokens[0], tokens[1], p.newline, p.end]
    video = [p.begin, tokens[2], p.newline, p.separator, p.end]
    assert torch.equal(rows, torch.stack(image + video))


def test_marks_take_the_tokens_dtype():
    projector = make_projector()
    index, _ = span_index([[1, 1]], [1], [1], [IMAGE])
    assert projector.arrange(torch.randn(1, 32, dtype=torch.bfloat16), index).dtype == torch.bfloat16
