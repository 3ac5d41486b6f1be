"""A conversation about media that are encoded once, whose prompts share their keys and values."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from oryx.engine.cache import VisualTokenCache, fingerprint
from oryx.engine.encode import VisualTokens, encode_tokens
from oryx.engine.prefix import Prefix, column_keys, depends_on_length, keep
from oryx.engine.streamer import AnswerStreamer
from oryx.errors import ConfigError
from oryx.model.cache_name import CACHE
from oryx.processing.chat import check_prompt_style
from oryx.processing.collate import EncodedSample
from oryx.processing.context import check_context, check_sampling, context_limit
from oryx.processing.geometry import VIDEO
from oryx.processing.markers import IMAGE_MARKER, with_markers
from oryx.processing.visuals import EncodedVisual, prompt_note, visual_source, visual_type

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor

Progress = Callable[[int, int], None]

ROOM = 128  # positions that a budget leaves for the question, and for its answer


@dataclass(frozen=True)
class Answer:
    """What the model said, and what it took."""

    text: str
    num_tokens: int
    """Tokens generated, the end marker included."""
    prompt_tokens: int
    """Positions of the prompt, visual tokens included."""
    cached_tokens: int
    """Those of them whose keys and values were still there from the prompt before."""
    seconds: float
    """For the whole answer; media were encoded before."""
    first_token_seconds: float
    """Until the first token."""
    is_cut_off: bool
    """Whether `max_new_tokens` ended it, and not the model."""


@dataclass(frozen=True)
class _Visual:
    """One visual of the session."""

    tokens: VisualTokens
    source: Mapping[str, Any] | EncodedVisual
    note: str
    serial: int
    """Its number among all visuals of the session."""

    def dial(self, name: str) -> Any:
        return None if isinstance(self.source, EncodedVisual) else self.source.get(name)


class Session:
    """Questions about media that are encoded once.

        session = oryx.Session(model, processor)
        session.add({"type": "video", "video": "clip.mp4"})
        print(session.ask("What happens?").text)
        print(session.ask("And then?").text)                           # goes on with the conversation
        print(session.ask("How many people are there?", follow_up=False).text)   # a fresh one, same media

    Keys and values of the last prompt are kept: the next one runs from where it differs. Language models
    that cannot go back (a full sliding window, a state) run the whole prompt; answers are the same. A session
    is for one thread at a time.

    Args:
        cache: finds visuals that were encoded before, also by other sessions.
        prompt_style: overrides the processor's own.
    """

    def __init__(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        cache: VisualTokenCache | None = None,
        prompt_style: str | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.cache = cache
        self.prompt_style = check_prompt_style(prompt_style or processor.prompt_style)
        self.turns: list[dict[str, str]] = []
        """The conversation so far, as in `encode_conversation`."""
        self._visuals: list[_Visual] = []
        self._serials = itertools.count()
        self._prefix: Prefix | None = None
        self._weights = fingerprint(model)

    # -- media -------------------------------------------------------------------------------------

    @property
    def num_visual_tokens(self) -> int:
        """Positions that all visuals take in the prompt."""
        return sum(visual.tokens.num_tokens for visual in self._visuals)

    def add(
        self,
        visual: Mapping[str, Any] | EncodedVisual,
        progress: Progress | None = None,
        budget: Any = None,
    ) -> int:
        """Encode a visual, or find it in the cache. It belongs to the next question.

        Args:
            visual: as in `encode_conversation`.
            budget: what it may cost: 4096 (visual tokens), "2GB" or "5s"; what `visual` sets stays as set.
                `processor.planner.spend` shares one among several visuals.
            progress: called with (views done, views in all), unless it is found.

        Returns:
            Positions that it takes in the prompt.

        Raises:
            ConfigError, MediaError: a dial or a source that cannot be, or more tokens than the model reads.
        """
        num_text = 0 if budget is None else len(self._encode_turns(self._turns("", True))) + ROOM
        (visual,) = self.processor.planner.spend([visual], budget, num_text, ROOM, self.processor.count_note)
        tokens = self._encode(visual, progress)
        note = _note(visual, tokens.times)
        self._visuals.append(_Visual(tokens, visual, note, next(self._serials)))
        return tokens.num_tokens

    def append(
        self,
        frames: Sequence[Any] | np.ndarray,
        times: Sequence[float] | None = None,
        compression: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """More frames at the end of the last video or set of views; those it has are not encoded again.

        The frames take the resize and, unless told otherwise, the ratio of the video's last frame: a default
        that depends on the number of frames was settled when the video was added. A conversation that has
        begun goes on as if the frames had been there.

        Args:
            frames: Pillow images, paths, bytes or (height, width, 3) uint8 arrays.
            times: seconds of each frame, needed if the video has `timestamps` and no `fps`.
            compression: another ratio for these frames.

        Returns:
            Positions that they take in the prompt.

        Raises:
            ConfigError: there is no video to append to, times are missing, or there are more tokens than the
                model reads.
            MediaError: a frame that cannot be read.
        """
        place = next(
            (i for i, old in reversed(list(enumerate(self._visuals))) if old.tokens.kind == VIDEO), None
        )
        if place is None:
            raise ConfigError(
                'there is no video to append to; add one first: {"type": "video", "video": ...}.'
            )
        if len(frames) == 0:
            return 0
        old = self._visuals[place]
        times = _times_after(old, len(frames), times)
        pictures = [Image.fromarray(frame) if isinstance(frame, np.ndarray) else frame for frame in frames]
        ratio = old.tokens.views[-1].compression if compression is None else compression
        visual = {
            "type": "video",
            "video": pictures,
            "compression": ratio,
            "max_pixels": old.dial("max_pixels"),
            "fast_resize": old.dial("fast_resize"),
        }
        more = self._encode(visual, progress, cached=False)
        tokens = old.tokens.extended(replace(more, times=times))
        self._visuals[place] = replace(old, tokens=tokens, note=_note(old.source, tokens.times))
        return more.num_tokens - 2  # begin and end are there already

    # -- questions ---------------------------------------------------------------------------------

    def ask(
        self,
        question: str,
        follow_up: bool = True,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        write: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer a question; both join the conversation.

        Args:
            question: new visuals stand in front of it, unless `<image>` says where each of them stands.
            follow_up: False forgets the conversation first, and asks about the same media anew.
            max_new_tokens: end the answer after so many tokens, at least 1.
            temperature: 0 answers greedily, more samples.
            write: called with stretches of the answer as they are generated. What it raises ends the answer,
                and the conversation stays what it was.

        Raises:
            AlignmentError: `<image>` is written more or less often than there are new visuals.
            ConfigError: a number out of range, a prompt and answer longer than the model reads, or weights
                that changed since the media were encoded.
        """
        check_sampling(max_new_tokens, temperature)
        self._check_weights()
        began = time.perf_counter()
        turns = self._turns(question, follow_up)
        sample = self._encode_turns(turns)
        check_context(len(sample), max_new_tokens, context_limit(self.model.config.text_config))
        columns = column_keys(sample.ids, sample.spans, [visual.serial for visual in self._visuals])
        prefix, self._prefix = self._prefix, None  # an answer cut short leaves a cache that nobody knows
        kept = prefix.take(columns) if prefix is not None else None
        cache, num_kept = kept or (None, 0)
        input_ids = torch.from_numpy(sample.ids)[None].to(self.model.device)
        streamer = AnswerStreamer(self.processor.tokenizer, write)
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            visual_embeds=self._embeds(),
            cache=cache,
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            temperature=temperature or None,
            streamer=streamer,
            return_dict_in_generate=True,
        )
        new_ids = output.sequences[0, len(sample) :].cpu().numpy()
        if not depends_on_length(self.model.config.text_config):
            self._prefix = keep(output.get(CACHE), np.concatenate([columns, new_ids]))
        text = self.processor.tokenizer.decode(new_ids, skip_special_tokens=True).strip()
        # A marker that the model writes is no visual of the next prompt.
        said = text.replace(IMAGE_MARKER, IMAGE_MARKER.strip("<>"))
        self.turns = [*turns, {"from": "gpt", "value": said}]
        ended = time.perf_counter()
        first = (streamer.first_token_at or ended) - began
        is_cut_off = len(new_ids) == max_new_tokens and int(new_ids[-1]) not in self._end_ids()
        return Answer(text, len(new_ids), len(sample), num_kept, ended - began, first, is_cut_off)

    def prompt(self, question: str, follow_up: bool = True) -> BatchFeature:
        """What `ask` would give the model: `input_ids`, `attention_mask` (1, T) int64, and `visual_embeds`.

        Raises:
            AlignmentError: `<image>` is written more or less often than there are new visuals.
        """
        ids = torch.from_numpy(self._encode_turns(self._turns(question, follow_up)).ids)[None]
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "visual_embeds": self._embeds()}
        return BatchFeature({name: value for name, value in batch.items() if value is not None})

    def restart(self) -> None:
        """Forget the conversation; the media stay, and belong to the next question."""
        self.turns = []

    # -- parts -------------------------------------------------------------------------------------

    def _encode(self, visual: Any, progress: Progress | None, cached: bool = True) -> VisualTokens:
        self._check_weights()
        if self.cache is not None and cached:
            return self.cache.encode(self.model, self.processor, visual, progress, self._check_room)
        return encode_tokens(self.model, self.processor, visual, progress=progress, check=self._check_room)

    def _check_room(self, num_tokens: int) -> None:
        """Raises ConfigError if so many more visual tokens leave no room for a single word."""
        check_context(self.num_visual_tokens + num_tokens, 1, context_limit(self.model.config.text_config))

    def _check_weights(self) -> None:
        if fingerprint(self.model) != self._weights:
            raise ConfigError(
                "the model's weights changed or moved since this session began: start a new one."
            )

    def _turns(self, question: str, follow_up: bool) -> list[dict[str, str]]:
        """The conversation with one more question, in which the visuals that stand in none yet stand."""
        turns = self.turns if follow_up else []
        num_placed = sum(turn["value"].count(IMAGE_MARKER) for turn in turns)
        marked = with_markers(question, len(self._visuals) - num_placed)
        return [*turns, {"from": "human", "value": marked}]

    def _encode_turns(self, turns: list[dict[str, str]]) -> EncodedSample:
        stand_ins = [visual.tokens.stand_in(visual.note) for visual in self._visuals]
        answer = {"from": "gpt", "value": None}
        return self.processor.encode_sample([*turns, answer], stand_ins, None, self.prompt_style)

    def _end_ids(self) -> Sequence[int]:
        """Tokens that end an answer."""
        ids = self.model.generation_config.eos_token_id
        return ids if isinstance(ids, list) else [] if ids is None else [ids]

    def _embeds(self) -> Tensor | None:
        """(S, E) of all visuals, in order."""
        parts = [visual.tokens.embeds for visual in self._visuals]
        return torch.cat(parts) if len(parts) > 1 else parts[0] if parts else None


def _note(visual: Mapping[str, Any] | EncodedVisual, times: Sequence[float] | None) -> str:
    """Lines of the prompt about a visual; subtitles are read anew."""
    if isinstance(visual, EncodedVisual):
        return visual.note
    kind = visual_type(visual)
    return "" if kind == "image" else prompt_note(visual, visual_source(visual, kind), times)


def _times_after(old: _Visual, num_frames: int, times: Sequence[float] | None) -> tuple[float, ...] | None:
    """Seconds of appended frames: those given, or going on at the rate of a list of frames."""
    known, fps = old.tokens.times, old.dial("fps")
    if times is not None:
        if len(times) != num_frames:
            raise ConfigError(f"{len(times)} times came with {num_frames} frames; give one for each.")
        return tuple(times)
    if fps and known is not None and isinstance(old.dial("video"), list | tuple | np.ndarray):
        return tuple(index / fps for index in range(len(known), len(known) + num_frames))
    if old.dial("timestamps"):
        raise ConfigError("the video has timestamps: give the times of the frames that are appended.")
    return None
