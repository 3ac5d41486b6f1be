"""Answers of a model in memory to many questions about the same views, which are encoded once for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oryx.data.synthetic import Sample
from oryx.evaluation.answers import Answer

if TYPE_CHECKING:
    from oryx.engine.session import Session


class SceneAnswerer:
    """See `Answerer`. Questions about the same visuals should follow each other.

    Args:
        model, processor: as `oryx.load` gives them.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self._session: Session | None = None
        self._shown: list[dict[str, Any]] = []

    def answer(
        self, samples: Sequence[Sample], max_new_tokens: int, dials: Mapping[str, Any]
    ) -> Iterator[tuple[int, Answer]]:
        """See `Answerer`; they are asked one after the other."""
        for index, sample in enumerate(samples):
            yield index, self._ask(sample, max_new_tokens, dials)

    def _ask(self, sample: Sample, max_new_tokens: int, dials: Mapping[str, Any]) -> Answer:
        session = self._open([{**dials, **visual} for visual in sample.visuals])
        question = sample.conversations[0]["value"]
        said = session.ask(question, follow_up=False, max_new_tokens=max_new_tokens)
        return Answer(said.text, session.num_visual_tokens, said.seconds)

    def _open(self, visuals: list[dict[str, Any]]) -> Session:
        """The session that shows these visuals: the last one, if it does."""
        from oryx.engine.session import Session

        if self._session is None or visuals != self._shown:
            self._session = Session(self.model, self.processor)
            for visual in visuals:
                self._session.add(visual)
            self._shown = visuals
        return self._session
