"""Greedy answers to samples, one question each: from a model in memory, or from whoever else answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from oryx.data.synthetic import Sample
from oryx.errors import ConfigError
from oryx.evaluation.journal import Kept, Key


@dataclass(frozen=True)
class Answer:
    """What was said to one sample."""

    text: str
    visual_tokens: int | None
    """Those read; None where a server does not tell."""
    seconds: float
    problem: str | None = None
    """Why there is no text, where a server gave none."""


@dataclass(frozen=True)
class Answered:
    """One question with its answer."""

    question: str
    expected: str
    answer: str
    visual_tokens: int | None
    seconds: float
    problem: str | None = None


class Answerer(Protocol):
    """Whoever is measured."""

    def answer(
        self, samples: Sequence[Sample], max_new_tokens: int, dials: Mapping[str, Any]
    ) -> Iterator[tuple[int, Answer]]:
        """(index of a sample, the answer to its first question), of each sample once, as they come.

        Args:
            max_new_tokens: cap on each answer.
            dials: for every visual; a visual's own go first.
        """
        ...


class ModelAnswerer:
    """A model as `oryx.load` gives it, with its processor."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor

    def answer(
        self, samples: Sequence[Sample], max_new_tokens: int, dials: Mapping[str, Any]
    ) -> Iterator[tuple[int, Answer]]:
        """See `Answerer`; all samples are one batch."""
        began = time.perf_counter()
        answers, tokens = _answer(self.model, self.processor, samples, max_new_tokens, dials)
        seconds = (time.perf_counter() - began) / max(1, len(samples))
        for index, (text, number) in enumerate(zip(answers, tokens, strict=True)):
            yield index, Answer(text, number, seconds)


def answer_all(
    answerer: Answerer | None,
    keys: Sequence[Key],
    draw: Callable[[Key], Sample],
    max_new_tokens: int,
    dials: Mapping[str, Any],
    batch_size: int,
    kept: Kept,
    progress: Callable[[int], None] | None = None,
) -> list[Answered]:
    """The answers to all questions, in the order of their keys; those that are kept are not asked again.

    Args:
        answerer: may be None where all answers are kept.
        keys: one for each question, none twice.
        draw: the sample of a key; it is drawn only if it is asked.
        kept: gets every answer as it comes; one that a server did not give is asked for again the next time.
        progress: called with how many are done now, after every batch.

    Raises:
        ConfigError: the kept answers are not of this evaluation.
    """
    found = {key: _read_answered(kept, key) for key in keys if key in kept}
    if found and progress is not None:
        progress(len(found))
    missing = [key for key in keys if key not in found]
    for start in range(0, len(missing), batch_size):
        batch = missing[start : start + batch_size]
        drawn = [draw(key) for key in batch]
        assert answerer is not None
        for index, answer in answerer.answer(drawn, max_new_tokens, dials):
            key, (question, expected) = batch[index], question_of(drawn[index])
            found[key] = Answered(
                question, expected, answer.text, answer.visual_tokens, answer.seconds, answer.problem
            )
            if answer.problem is None:
                kept.add(key, asdict(found[key]))
        if progress is not None:
            progress(len(batch))
    return [found[key] for key in keys]


def mean_tokens(answered: Sequence[Answered]) -> float | None:
    """Visual tokens of a prompt, the mean; None where they are not known."""
    known = [one.visual_tokens for one in answered if one.visual_tokens is not None]
    return sum(known) / len(known) if known else None


def _read_answered(kept: Kept, key: Key) -> Answered:
    try:
        return Answered(**kept[key])
    except TypeError:
        raise ConfigError(f"{kept.path} cannot be read; delete it, or choose another --output.") from None


def answer_samples(
    model: Any, processor: Any, drawn: Sequence[Sample], max_new_tokens: int, dials: Mapping[str, Any]
) -> tuple[list[str], int]:
    """The model's greedy answers to the first question of each sample, and how many visual tokens it read."""
    answers, tokens = _answer(model, processor, drawn, max_new_tokens, dials)
    return answers, sum(tokens)


def _answer(
    model: Any, processor: Any, drawn: Sequence[Sample], max_new_tokens: int, dials: Mapping[str, Any]
) -> tuple[list[str], list[int]]:
    conversations = [
        [sample.conversations[0], {**sample.conversations[1], "value": None}] for sample in drawn
    ]
    batch = processor.encode_conversation(
        conversations, [sample.visuals for sample in drawn], supervise=None, padding_side="left", **dials
    )
    batch = batch.to(model.device)
    output = model.generate(**batch, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1)
    answers = processor.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers, (batch["input_ids"] == processor.image_token_id).sum(1).tolist()


def question_of(sample: Sample) -> tuple[str, str]:
    """(question without the placeholders, its answer)."""
    question, answer = (turn["value"] for turn in sample.conversations[:2])
    return question.replace("<image>\n", ""), answer
