"""Runs where vLLM is installed, in an environment of its own: see docs/serving.md."""

import pytest
from mixed_requests import EXAMPLES

pytest.importorskip("vllm")

SETTINGS = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 4096,
    "max_num_seqs": 16,
    "kv_cache_memory_bytes": 1 << 30,
}


@pytest.fixture(scope="session")
def settings():
    """Of vLLM, for a small model on a test machine."""
    return dict(SETTINGS)


@pytest.fixture
def video():
    return str(EXAMPLES / "order.mp4")
