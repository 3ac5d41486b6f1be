"""The next token of each request in a batch, by the request's own settings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessorList,
)

from oryx.serving.engine import Sampling

SMALLEST_TEMPERATURE = 1e-5
"""Below it an answer is greedy: scores divided by less leave the range of float32."""


class TokenChoice(ContinuousBatchingLogitsProcessorList):
    """Stands in the manager's place for processors of scores, which know neither a request's ids nor a seed.

    The manager takes the token with the highest score. Where a request samples, one token is drawn here, and
    all others are left with a score of minus infinity.

    Args:
        vocab_size: ids from here on are visuals.
        placeholder: the id that stands for a visual outside of an engine. It is never chosen.
    """

    def __init__(self, vocab_size: int, placeholder: int) -> None:
        super().__init__(LogitsProcessorList())
        self.do_processing = True
        self._vocab_size = vocab_size
        self._placeholder = placeholder
        self._requests: dict[str, _Request] = {}
        self._rows: list[Any] = []

    def add(self, request_id: str, sampling: Sampling, device: torch.device) -> None:
        """Before the manager gets the request. Greedy requests need not come here."""
        if sampling.temperature >= SMALLEST_TEMPERATURE or sampling.repetition_penalty != 1:
            self._requests[request_id] = _Request(sampling, self._vocab_size, device)

    def remove(self, request_id: str) -> None:
        self._requests.pop(request_id, None)

    def prepare_tensor_args(self, requests_in_batch: list[Any], arg_storage: Tensor) -> Tensor:
        """The manager's thread, before each step: whose scores will come, in order."""
        self._rows = [request.state for request in requests_in_batch if request.has_new_token]
        return arg_storage

    def __call__(self, input_ids: Tensor, scores: Tensor, logits_processor_args: Tensor) -> Tensor:
        """(rows, vocabulary) float32 scores; the last rows are of no use where prompts are read in parts."""
        if 0 <= self._placeholder < scores.shape[-1]:
            scores[:, self._placeholder] = float("-inf")
        for row, state in enumerate(self._rows):
            request = self._requests.get(state.request_id)
            if request is not None:
                scores[row] = request.process(scores[row], state.initial_tokens, state.generated_tokens)
        return scores


class _Request:
    """What one request does to its scores."""

    def __init__(self, sampling: Sampling, vocab_size: int, device: torch.device) -> None:
        self._vocab_size = vocab_size
        self._penalty: Any = None
        self._seen: set[int] = set()
        self._num_seen = 0
        if sampling.repetition_penalty != 1:
            self._penalty = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)
        self._generator: torch.Generator | None = None
        self._warpers: list[Any] = []
        if sampling.temperature >= SMALLEST_TEMPERATURE:
            self._generator = torch.Generator(device)
            if sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(sampling.seed)
            if sampling.temperature != 1:
                self._warpers.append(TemperatureLogitsWarper(sampling.temperature))
            if sampling.top_k:
                self._warpers.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self._warpers.append(TopPLogitsWarper(sampling.top_p))

    def process(self, scores: Tensor, prompt: list[int], generated: list[int]) -> Tensor:
        """Scores (vocabulary,) whose highest is the token to take."""
        row = scores[None]
        if self._penalty is not None:
            row = self._penalty(self._ids(prompt, generated, scores.device), row)
        if self._generator is None:
            return row[0]
        for warp in self._warpers:
            row = warp(None, row)
        token = torch.multinomial(row.softmax(-1), 1, generator=self._generator)
        return torch.full_like(scores, float("-inf")).index_fill(0, token[0], 0.0)

    def _ids(self, prompt: list[int], generated: list[int], device: torch.device) -> Tensor:
        """(1, n) of what has been said so far; the penalty counts each id once, and visuals never."""
        if not self._num_seen:
            self._seen.update(token for token in prompt if token < self._vocab_size)
            self._num_seen = len(prompt)
        new = len(prompt) + len(generated) - self._num_seen
        if new:
            # The manager makes what was generated a part of the prompt where it has to read a request again.
            self._seen.update((generated if len(generated) >= new else prompt + generated)[-new:])
            self._num_seen += new
        return torch.tensor([list(self._seen)], device=device)
