"""A processor with a small tokenizer, and models that say what a test wants them to say."""

from pathlib import Path

import pytest
import torch

from oryx.data.tokenizer import spelling_tokenizer
from oryx.evaluation.skills import report as reports
from oryx.processing.processor import OryxProcessor

TINY = Path(__file__).parents[2] / "parity" / "reference" / "oryx-tiny-qwen"


class ScriptedModel:
    """Answers prompt k with `answers[k]`, whatever it is shown; keeps the arguments of every call."""

    device = torch.device("cpu")

    def __init__(self, processor, answers):
        self.processor = processor
        self.answers = list(answers)
        self.calls = []

    def generate(self, input_ids, **kwargs):
        self.calls.append({"input_ids": input_ids, **kwargs})
        told, self.answers = self.answers[: len(input_ids)], self.answers[len(input_ids) :]
        said = self.processor.tokenizer(told, padding=True, padding_side="right", return_tensors="pt")
        return torch.cat([input_ids, said["input_ids"]], 1)


@pytest.fixture(scope="session")
def processor():
    return OryxProcessor(spelling_tokenizer(["Where is the red circle?"] * 2))


@pytest.fixture
def make_report():
    """A report of given results, without a model."""

    def make(results, **changes):
        values = {
            "model": "nano",
            "model_sha256": "ab" * 32,
            "num_parameters": 1_234_567,
            "parameters": {"vision_tower": 1_000_000, "language_model": 234_567},
            "dtype": "float32",
            "device": "cpu",
            "samples": 500,
            "seed": 10_000_000,
            "fonts": {"train": ["DejaVu Sans"], "test": ["Lato"]},
            "command": "oryx eval skills",
            "versions": {"oryx": "0.1.0"},
            "results": results,
        }
        return reports.SkillReport(**{**values, **changes})

    return make
