"""Continuous batching by `transformers`, made to carry visuals.

The manager of `transformers` schedules requests, keeps keys and values in pages and shares those of prompts
that begin alike. It knows ids only: visuals come as ids of their own (`visual_ids`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.continuous_api import (
    ContinuousBatchingManager,
    OutputRouter,
)
from transformers.generation.continuous_batching.requests import GenerationOutput

from oryx.engine.prefix import depends_on_length
from oryx.errors import ConfigError
from oryx.serving.engines import packed_attention
from oryx.serving.engines.token_choice import TokenChoice
from oryx.serving.engines.visual_ids import VisualIds

Deliver = Callable[[list[GenerationOutput]], None]

MANAGER_LOG = "ContinuousBatchingLogger"
"""The logger of transformers' manager."""

OLDEST = (5, 19)
"""The first release of transformers whose pages of keys and values know their layers."""

PAGE_SIZE = 32
"""Positions whose keys and values lie together. What prompts share is shared in whole pages."""


class Decoder(nn.Module):
    """The language model as the manager drives it: ids beyond the vocabulary are looked up in `visuals`."""

    _supports_flash_attn = False  # or the manager would switch to it, and fetch it
    _device_mesh = None
    tp_plan: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, language_model: PreTrainedModel, visuals: VisualIds) -> None:
        super().__init__()
        self.language_model: Any = language_model
        self.visuals = visuals

    @property
    def config(self) -> Any:
        return self.language_model.config

    @property
    def device(self) -> torch.device:
        return self.language_model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.language_model.dtype

    def set_attn_implementation(self, name: str) -> None:
        self.language_model.set_attn_implementation(name)

    def _supports_logits_to_keep(self) -> bool:
        return bool(self.language_model._supports_logits_to_keep())

    def _get_logits_processor(self, generation_config: GenerationConfig) -> LogitsProcessorList:
        return LogitsProcessorList()  # `TokenChoice` does what they would

    def forward(self, input_ids: Tensor, **kwargs: Any) -> Any:
        """One step over (1, Q) ids of all requests of the batch."""
        outputs = self.language_model(inputs_embeds=self.embed(input_ids), **kwargs)
        self.visuals.end_step()
        return outputs

    def embed(self, input_ids: Tensor) -> Tensor:
        """(1, Q) ids -> (1, Q, E)."""
        look_up = self.language_model.get_input_embeddings()
        is_visual = input_ids >= self.visuals.first_id
        if not is_visual.any():
            return look_up(input_ids)
        embeds = look_up(input_ids.masked_fill(is_visual, 0))
        embeds[is_visual] = self.visuals.rows(input_ids[is_visual]).to(embeds.dtype)
        return embeds


class _Outputs(OutputRouter):
    """Hands what was generated to one place, in batches."""

    def __init__(self, deliver: Deliver) -> None:
        super().__init__()
        self._deliver = deliver

    def deliver(self, output: GenerationOutput) -> None:
        self._deliver([output])

    def deliver_batch(self, outputs: list[GenerationOutput]) -> None:
        self._deliver(outputs)


class Manager(ContinuousBatchingManager):
    """The manager over a `Decoder`.

    Args:
        num_pages: of keys and values.
        max_requests: that run at a time.
        max_batch_tokens: positions of a step; longer prompts are read in parts, while others go on.
        choice: chooses the tokens.
        deliver: is called in the manager's thread with what has been generated for some requests.
        ended: is called in the manager's thread when it ends, with what went wrong, or None.
    """

    def __init__(
        self,
        decoder: Decoder,
        num_pages: int,
        max_requests: int,
        max_batch_tokens: int,
        choice: TokenChoice,
        deliver: Deliver,
        ended: Callable[[Exception | None], None],
    ) -> None:
        super().__init__(
            decoder,  # type: ignore[arg-type]
            GenerationConfig(do_sample=False, eos_token_id=-1),
            # Neither graphs nor batches prepared ahead: the choice of tokens runs in Python, between steps.
            ContinuousBatchingConfig(
                page_size=PAGE_SIZE,
                num_blocks=num_pages,
                max_batch_tokens=max_batch_tokens,
                max_requests_per_batch=max_requests,
                max_blocks_per_request=0,
                use_async_batching=False,
                use_cuda_graph=False,
            ),
        )
        self.logit_processor = choice
        self.output_router = _Outputs(deliver)
        self._ended = ended

    def switch_to_cb_friendly_attn(self, model: Any, *args: Any) -> None:
        """Attention over a batch laid end to end, by ours or the library's."""
        implementation = model.config._attn_implementation
        if implementation == packed_attention.NAME:
            return
        if implementation == "eager" or (implementation == "sdpa" and model.device.type == "cpu"):
            model.set_attn_implementation(packed_attention.NAME)
        else:
            super().switch_to_cb_friendly_attn(model, *args)

    def _generation_loop_body(self, batch_processor: Any, *args: Any, **kwargs: Any) -> bool:
        if not threading.main_thread().is_alive():
            return False  # nobody has stopped this, and the interpreter waits for it to exit
        # After it has taken a request out for want of pages, the scheduler lets none in until one ends; if
        # those that run are all cancelled, none ever would.
        if not batch_processor.scheduler.active_requests:
            batch_processor.scheduler.block_new_requests = False
        return super()._generation_loop_body(batch_processor, *args, **kwargs)

    def _run_generation_loop(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._run_generation_loop(*args, **kwargs)
        finally:
            self._ended(self.background_thread_status.fatal_error)


def check_batchable(language_model: PreTrainedModel) -> None:
    """Refuse language models whose requests would change each other's answers, or cannot share a batch.

    Raises:
        ConfigError: transformers is too old, or the model carries a state, does not attend through the
            library's interface, or has positions that depend on the longest request.
    """
    installed = transformers.__version__
    if tuple(map(int, installed.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ConfigError(f"the transformers engine needs transformers {oldest} or newer, not {installed}.")
    name = type(language_model).__name__
    if language_model._is_stateful or not language_model._supports_attention_backend:
        raise ConfigError(
            f"{name} cannot be batched by the transformers engine, which takes language models whose layers "
            "all attend through transformers' attention interface; the vllm engine may take it."
        )
    if depends_on_length(language_model.config):
        raise ConfigError(
            f"{name} encodes positions by the length of the longest request (rope type dynamic or longrope), "
            "so requests of a batch would change each other's answers; the vllm engine may take it."
        )
