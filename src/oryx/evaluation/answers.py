"""Greedy answers to drawn samples, one question each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oryx.data.synthetic import Sample


def answer_samples(
    model: Any, processor: Any, drawn: Sequence[Sample], max_new_tokens: int, dials: Mapping[str, Any]
) -> tuple[list[str], int]:
    """The model's greedy answers to the first question of each sample, and how many visual tokens it read."""
    conversations = [
        [sample.conversations[0], {**sample.conversations[1], "value": None}] for sample in drawn
    ]
    batch = processor.encode_conversation(
        conversations, [sample.visuals for sample in drawn], supervise=None, padding_side="left", **dials
    )
    batch = batch.to(model.device)
    output = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1)
    answers = processor.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers, int((batch["input_ids"] == processor.image_token_id).sum())


def question_of(sample: Sample) -> tuple[str, str]:
    """(question without the placeholders, its answer)."""
    question, answer = (turn["value"] for turn in sample.conversations[:2])
    return question.replace("<image>\n", ""), answer
