"""A conversation goes on whatever the model says."""

from types import SimpleNamespace

import torch

from oryx.cli.session import Session


def test_a_marker_in_an_answer_is_no_visual_of_the_next_prompt(monkeypatch):
    import oryx

    model, processor = oryx.load("nano", device="cpu")
    session = Session(model, processor, visuals=[])
    said = processor.tokenizer("an <image> there", return_tensors="pt", split_special_tokens=True).input_ids
    monkeypatch.setattr(
        session,
        "model",
        SimpleNamespace(
            device=torch.device("cpu"),
            generate=lambda input_ids, **_: torch.cat([input_ids, said], 1),
        ),
    )
    text, _ = session.answer("What?", 8, 0.0)
    assert text == "an <image> there"
    assert session.answer("And then?", 8, 0.0)[0] == text
