"""Runs where vLLM is installed, in an environment of its own: see docs/serving.md."""

import os

import pytest
from mixed_requests import EXAMPLES

pytest.importorskip("vllm")

# Before vLLM is imported: a key-value cache that a test machine has room for.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


@pytest.fixture
def video():
    return str(EXAMPLES / "order.mp4")
