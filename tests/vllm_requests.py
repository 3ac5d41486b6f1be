"""Requests as vLLM takes them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from mixed_requests import MAX_TOKENS


def as_request(processor, messages):
    """A chat template's text, and the visuals by modality, as vLLM's own server puts them."""
    request = {"prompt": processor.apply_chat_template(messages, add_generation_prompt=True)}
    data = {}
    for part in messages[0]["content"]:
        if part["type"] != "text":
            data.setdefault("image" if part["type"] == "image" else "video", []).append(part)
    if data:
        request["multi_modal_data"] = data
    return request


def greedy(**settings: Any):
    from vllm import SamplingParams

    return SamplingParams(temperature=0, max_tokens=MAX_TOKENS, **settings)


@contextmanager
def opened(folder: Any, **settings: Any) -> Iterator[Any]:
    """vLLM's `LLM`, whose processes are gone in the end."""
    from vllm import LLM

    # Where vLLM's workers are forked from a process with threads, they hang.
    with mock.patch.dict(os.environ, VLLM_WORKER_MULTIPROC_METHOD="spawn"):
        llm = LLM(str(folder), **settings)
    try:
        yield llm
    finally:
        llm.llm_engine.engine_core.shutdown()
