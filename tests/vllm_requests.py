"""Requests as vLLM takes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def greedy():
    from vllm import SamplingParams

    return SamplingParams(temperature=0, max_tokens=MAX_TOKENS)


@contextmanager
def opened(folder: Any, **settings: Any) -> Iterator[Any]:
    """vLLM's `LLM`, whose processes are gone in the end."""
    from vllm import LLM

    llm = LLM(str(folder), **settings)
    try:
        yield llm
    finally:
        llm.llm_engine.engine_core.shutdown()
