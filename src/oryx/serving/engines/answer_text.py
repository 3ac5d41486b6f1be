"""The text of an answer as its tokens come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oryx.serving.engine import FinishReason, Piece, Sampling

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What tokenizers give for bytes that are no character, or not yet."""


class AnswerText:
    """Ids of an answer to pieces of text, up to its end or a stop text.

    Args:
        end_ids: tokens that end an answer, unless it ignores them.
    """

    def __init__(self, tokenizer: Any, sampling: Sampling, end_ids: Sequence[int]) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._stop = StopFinder(sampling.stop)
        self._end_ids = () if sampling.ignore_eos else end_ids
        self._num_tokens = 0
        self.is_finished = False

    def put(self, ids: Sequence[int], is_last: bool) -> Piece | None:
        """What these ids add; None where they add nothing that is certain.

        Args:
            ids: at least one.
            is_last: whether none will follow.
        """
        text = ""
        for token in ids:
            self._num_tokens += 1
            text += self._stop.put(self._detokenizer.put(token))
            if self._stop.is_found:
                return self._piece(text, "stop")
        if is_last:
            text += self._stop.put(self._detokenizer.end()) + self._stop.end()
            is_ended = self._stop.is_found or ids[-1] in self._end_ids
            return self._piece(text, "stop" if is_ended else "length")
        return self._piece(text) if text else None

    def _piece(self, text: str, reason: FinishReason | None = None) -> Piece:
        num_tokens, self._num_tokens = self._num_tokens, 0
        self.is_finished = reason is not None
        return Piece(text, num_tokens, reason)


class Detokenizer:
    """Ids to text, one by one, never half a character. All pieces together are the text of all ids.

    A token may be a part of a character, and some tokenizers drop the space of a first word; so each piece is
    what the last tokens are with the new one, less what they were without it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        """Those that the last piece came from, and those after."""
        self._num_told = 0
        """How many of them have been told."""

    def put(self, token: int) -> str:
        """What is certain of the text of this id and of those held back before."""
        self._ids.append(token)
        told, text = self._decode(self._ids[: self._num_told]), self._decode(self._ids)
        if text.endswith(UNFINISHED) or len(text) <= len(told):
            return ""
        del self._ids[: self._num_told]
        self._num_told = len(self._ids)
        return text[len(told) :]

    def end(self) -> str:
        """What was held back."""
        told, text = self._decode(self._ids[: self._num_told]), self._decode(self._ids)
        return text[len(told) :]

    def _decode(self, ids: list[int]) -> str:
        if not ids:
            return ""
        # Cleaning up would take spaces away that have been told.
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class StopFinder:
    """Cuts a text off before the stop text that is complete first; holds back what may become one.

    The outcome does not depend on how the text comes in pieces.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._held = ""
        self.is_found = False

    def put(self, text: str) -> str:
        """What may be told of the text so far. Nothing once a stop text was found."""
        if self.is_found or not text:
            return ""
        text = self._held + text
        found = [(start + len(stop), start) for stop in self._stop if (start := text.find(stop)) >= 0]
        if found:
            self.is_found, self._held = True, ""
            return text[: min(found)[1]]
        num_held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - num_held :]
        return text[: len(text) - num_held]

    def end(self) -> str:
        """What was held back, now that nothing follows."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with, and goes on from."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
