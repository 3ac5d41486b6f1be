"""A prompt on its way through vLLM's processor: one id for each visual, until its tokens are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from oryx.errors import AlignmentError, ConfigError
from oryx.processing import chat
from oryx.processing.chat import Turn
from oryx.processing.processor import OryxProcessor

TARGETS = {"image": -1, "video": -2}
"""Ids that no text has: where a visual of either kind stands."""
_KINDS = {chat.IMAGE_MARKER: "image", chat.VIDEO_MARKER: "video"}


class Prompt(list[int]):
    """The ids as vLLM has them, and what they mean.

    A list, because vLLM hands it from step to step as one.

    Args:
        ids: a chat template's text as ids; or, with `places`, the ids that the model is to see.
        counts: visuals of each modality.
        places: index in `ids` of the one id that stands for each visual, in order, all of one modality. As a
            client sent it, and not to be trusted.
        prompt_style: None for the checkpoint's own; as a client sent it, too.

    Raises:
        ConfigError: places or a style that cannot be.
        AlignmentError: other visuals than the prompt has places for.
    """

    def __init__(
        self,
        processor: OryxProcessor,
        ids: Sequence[int],
        counts: Mapping[str, int],
        places: Any = None,
        prompt_style: Any = None,
    ) -> None:
        super().__init__(ids)
        self._encoder = processor.chat_encoder(prompt_style)
        self._places = places = None if places is None else check_places(places, len(self))
        self._turns: list[Turn] = []
        if places is not None:
            kinds = [name for name, count in counts.items() for _ in range(count)]
            if len(set(kinds)) > 1 or len(kinds) != len(places):
                raise AlignmentError(f"{len(places)} places in a prompt cannot take {len(kinds)} visuals.")
        else:
            text = processor.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
            self._turns, markers = chat.read_rendered(text, processor.image_token)
            for marker, name in _KINDS.items():
                chat.check_count(marker, markers.count(marker), counts.get(name, 0))
            kinds = [_KINDS[marker] for marker in markers]
        seen: Counter[str] = Counter()
        self.order: list[tuple[str, int]] = []
        """(modality, index in it) of each visual, as they come in the prompt."""
        for kind in kinds:
            self.order.append((kind, seen[kind]))
            seen[kind] += 1

    @property
    def num_text_ids(self) -> int:
        """Positions besides those of visuals and their notes."""
        if self._places is not None:
            return len(self) - len(self._places)
        return len(self._encoder.encode(self._turns, [0] * len(self.order)).ids)

    def with_targets(self, notes: Mapping[str, Sequence[str]]) -> list[int]:
        """The ids that the model is to see, but for one target where each visual's tokens will be.

        Args:
            notes: of each visual of each modality; not for prompts with places, whose text has them.
        """
        if self._places is not None:
            ids = list(self)
            for place, (name, _) in zip(self._places, self.order, strict=True):
                ids[place] = TARGETS[name]
            return ids
        turns = chat.with_notes(self._turns, [notes[name][index] for name, index in self.order])
        encoded = self._encoder.encode(turns, [1] * len(self.order))
        for (name, _), (start, _) in zip(self.order, encoded.spans, strict=True):
            encoded.ids[start] = TARGETS[name]
        return encoded.ids


def check_places(places: Any, num_ids: int) -> list[int]:
    """The places themselves: indices of a prompt of so many ids, each greater than the one before.

    Raises:
        ConfigError: anything else.
    """
    if not isinstance(places, list) or not all(type(place) is int for place in places):
        raise ConfigError(f"the places of visuals must be a list of indices, not {places!r}.")
    wrong = [place for before, place in pairwise([-1, *places]) if not before < place < num_ids]
    if wrong:
        raise ConfigError(
            f"the places of visuals must be indices from 0 to {num_ids - 1} in ascending order; "
            f"{wrong[0]} is none of them."
        )
    return places
