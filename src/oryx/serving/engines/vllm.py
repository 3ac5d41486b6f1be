"""vLLM as an engine of the server: requests go in as ids and patches that a worker has made."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from multiprocessing import resource_tracker
from typing import Any

from oryx.errors import ConfigError
from oryx.loading import end_token_ids, folder_dtype, resolve_folder
from oryx.processing.collate import EncodedSample
from oryx.processing.context import advice, check_context
from oryx.processing.geometry import View
from oryx.processing.visuals import EncodedVisual
from oryx.serving.engine import EngineStopped, Piece, Prompt, Sampling, check_sampling
from oryx.serving.engines.choosing import refuse_revisions, refuse_unknown
from oryx.serving.engines.vllm_errors import refusals
from oryx.serving.engines.vllm_loading import Loading

CPU_CACHE_BYTES = 2 << 30
"""Of keys and values on a CPU, where vLLM would take nearly all memory."""
DRAIN_SECONDS = 60
"""Above 0, vLLM's processes let requests end when a signal reaches them."""
_END_SECONDS = 15.0
"""For vLLM's processes to end by themselves, before they are killed."""


class VllmEngine:
    """vLLM in processes of its own.

    Args:
        model: "nano", a folder or a hub id, native or published.
        dtype: as vLLM names them; "auto" is what `oryx.load` takes on a CPU. On a GPU it is the checkpoint's
            own, but bfloat16 for a checkpoint in float32.
        max_positions: of a prompt and its answer together; None for what the model was made for.
        max_requests: that run at the same time.
        arguments: further ones of vLLM's `AsyncEngineArgs`, such as `tensor_parallel_size`.
        known: options of the caller's own, `--port`: the nearest is named where vLLM lacks an argument.

    Raises:
        ConfigError: a revision, which only a part of the model would follow.
        CheckpointError: there is no such model.
    """

    name = "vllm"

    def __init__(
        self,
        model: str = "nano",
        dtype: str = "auto",
        max_positions: int | None = None,
        max_requests: int = 16,
        arguments: Mapping[str, Any] | None = None,
        known: Sequence[str] = (),
    ) -> None:
        refuse_revisions(arguments or {})
        self._known = known
        self._folder = resolve_folder(model)
        self._arguments = {
            "model": str(self._folder),
            "served_model_name": model,
            "dtype": dtype,
            "max_model_len": max_positions,
            "max_num_seqs": max_requests,
            # A SIGTERM to a whole job comes to whoever runs the engine, who ends its requests.
            "shutdown_timeout": DRAIN_SECONDS,
            **(arguments or {}),
        }
        self._ends = end_token_ids(self._folder)
        self._loading: Loading | None = None
        self._llm: Any = None
        self.max_positions = max_positions or 0

    async def start(self) -> None:
        """Load the model in vLLM's processes. Whoever cancels this calls `stop`, which ends them.

        Raises:
            ConfigError: an older vLLM than is needed, or an argument that it does not know or cannot have.
        """
        self._loading = Loading(self._load)
        self._llm = await self._loading.result()
        self.max_positions = self._llm.model_config.max_model_len

    def _load(self, check_wanted: Callable[[], None]) -> Any:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        # This process has threads, and forks of it would hang.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        # Before anything asks for a GPU: vLLM settles how that is done.
        from vllm.platforms import current_platform

        from oryx.serving.vllm import too_old

        if reason := too_old():
            raise ConfigError(f"this vLLM cannot serve Oryx: {reason}.")
        arguments = dict(self._arguments)
        if current_platform.is_cpu():
            arguments.setdefault("kv_cache_memory_bytes", CPU_CACHE_BYTES)
            arguments.setdefault("enforce_eager", True)  # compiling takes minutes there
            if arguments["dtype"] == "auto":
                arguments["dtype"] = str(folder_dtype(self._folder, "cpu")).removeprefix("torch.")
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        with refusals("vLLM cannot be started so: ", TypeError, RuntimeError), _deaf_to_ctrl_c():
            refuse_unknown(arguments, (field.name for field in fields(AsyncEngineArgs)), self._known)
            engine_arguments = AsyncEngineArgs(**arguments)
            check_wanted()
            return AsyncLLM.from_engine_args(engine_arguments)

    async def stop(self) -> None:
        """End vLLM's processes; requests that still run end in `EngineStopped`."""
        loading, self._loading = self._loading, None
        llm, self._llm = self._llm, None
        if loading is not None and llm is None:
            llm = await loading.abandon()
        if llm is not None:
            await _shut_down(llm)

    @property
    def is_running(self) -> bool:
        """See `Engine.is_running`."""
        return self._llm is not None and not self._llm.errored

    @property
    def num_unfinished(self) -> int:
        """Requests that run or wait."""
        return 0 if self._llm is None else self._llm.output_processor.get_num_unfinished_requests()

    async def generate(self, prompt: Prompt, sampling: Sampling, request_id: str) -> AsyncIterator[Piece]:
        """See `Engine.generate`."""
        if not self.is_running:
            raise EngineStopped("the engine is not running.")
        check_sampling(sampling)
        what_to_do = advice(prompt.num_visual_tokens > 0, "max_tokens")
        check_context(len(prompt), sampling.max_tokens, self.max_positions, what_to_do)
        with refusals():
            outputs = self._llm.generate(_as_request(prompt), self._parameters(sampling), request_id)
            try:
                async for output in outputs:
                    (answer,) = output.outputs
                    reason = answer.finish_reason
                    if reason not in (None, "stop", "length"):
                        raise EngineStopped(f"vLLM ended the answer ({reason}).")
                    if answer.token_ids or reason:
                        yield Piece(answer.text, len(answer.token_ids), reason)
            finally:
                await outputs.aclose()

    def _parameters(self, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            repetition_penalty=sampling.repetition_penalty,
            stop=list(sampling.stop),
            stop_token_ids=[] if sampling.ignore_eos else list(self._ends),
            seed=sampling.seed,
            ignore_eos=sampling.ignore_eos,
            output_kind=RequestOutputKind.DELTA,
        )


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that this thread starts in the block do not hear Ctrl-C, which is for the one they work for.

    vLLM's set handlers of their own, so it is blocked and not ignored.
    """
    resource_tracker.ensure_running()  # when it is begun, it unblocks what was blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _shut_down(llm: Any) -> None:
    """End an `AsyncLLM` without a word: its own `shutdown` alone is told as if it had crashed."""
    if (running := list(llm.output_processor.request_states)) and not llm.errored:
        await llm.abort(running, internal=True)  # its process waits for those that run
    # It would take the end of the connection for a death of the engine, and log a traceback.
    if (reading := llm.output_handler) is not None:
        reading.cancel()
        await asyncio.wait([reading])
    # Beside other work, a process that has imported torch can take longer to end than vLLM waits by itself.
    await asyncio.to_thread(llm.shutdown, timeout=_END_SECONDS)
    # `__del__` calls it again, maybe when the interpreter has ended so far that it cannot run any more.
    llm.shutdown = lambda *_, **__: None


def _as_request(prompt: Prompt) -> dict[str, Any]:
    """Ids with one place per visual, which vLLM's processor fills with as many as it has."""
    from oryx.serving.vllm.processing import PLACES

    ids: list[int] = []
    places: list[int] = []
    end = 0
    sample = prompt.sample
    for start, stop in sample.spans:
        ids += sample.ids[end:start].tolist()
        places.append(len(ids))
        ids.append(0)
        end = stop
    request: dict[str, Any] = {"prompt_token_ids": ids + sample.ids[end:].tolist()}
    if places:
        request["multi_modal_data"] = {"image": _visuals(sample)}
        request["multi_modal_uuids"] = {"image": list(prompt.keys)}
        request["mm_processor_kwargs"] = {PLACES: places}
    return request


def _visuals(sample: EncodedSample) -> list[EncodedVisual]:
    """The visuals of a sample, each with its own patches."""
    assert sample.patches is not None
    side = round((sample.patches.shape[1] / 3) ** 0.5)
    visuals = []
    view = patch = 0
    for num_views, kind in zip(sample.visual_lengths.tolist(), sample.visual_kinds.tolist()):
        own = slice(view, view + num_views)
        views = tuple(
            View(rows * side, columns * side, (rows, columns), ratio)
            for (rows, columns), ratio in zip(sample.grids[own].tolist(), sample.compressions[own].tolist())
        )
        num_patches = sum(one.num_patches for one in views)
        visuals.append(EncodedVisual(kind, views, sample.patches[patch : patch + num_patches]))
        view, patch = view + num_views, patch + num_patches
    return visuals
