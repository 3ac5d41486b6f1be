"""The plugin leaves a vLLM that it does not fit as it is."""

import logging
import sys
from types import ModuleType

import pytest

from oryx.serving.vllm import register, too_old


@pytest.fixture
def other_vllm(monkeypatch):
    """Stands for an installed vLLM, with a version and nothing else."""

    def install(version: str) -> None:
        made = ModuleType("vllm")
        made.__version__ = version  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "vllm", made)

    return install


@pytest.mark.parametrize(
    ("version", "is_too_old"),
    [
        ("0.31.1", True),
        ("0.9.0", True),
        ("0.32.0", False),
        ("0.32.0+cpu", False),
        ("1.0", False),
        ("0.1.dev1+g12345", False),
        ("dev", False),
    ],
)
def test_which_are_too_old(other_vllm, version, is_too_old):
    other_vllm(version)
    assert (too_old() is not None) == is_too_old


@pytest.mark.parametrize(
    ("version", "reason"),
    [("0.31.1", "it is 0.31.1, and oryx-mllm needs vLLM 0.32"), ("0.99", "ImportError")],
)
def test_one_that_it_does_not_fit_is_warned_of(other_vllm, caplog, version, reason):
    other_vllm(version)
    with caplog.at_level(logging.WARNING):
        register()
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert "Oryx models cannot be served by this vLLM" in record.getMessage()
