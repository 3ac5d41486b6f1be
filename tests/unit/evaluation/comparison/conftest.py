"""Results folders of made numbers, in the form in which each task writes them."""

import json

import pytest

FACTS = {
    "model": "nano",
    "model_sha256": "ab" * 32,
    "num_parameters": 3_900_000,
    "dtype": "float32",
    "device": "cpu",
    "endpoint": None,
}
VERSIONS = {"oryx": "0.1.0", "torch": "2.13.0"}


def write_lines(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


@pytest.fixture
def skills(tmp_path):
    """(name, scores of the test color, changes) -> folder."""

    def make(name, scores, answers=True, questions="What color is it?", **changes):
        folder = tmp_path / name
        folder.mkdir()
        dial = {"compression": changes.pop("compression", None), "max_pixels": None}
        result = {
            "test": "color",
            "accuracy": sum(scores) / len(scores),
            "interval": [max(0, sum(scores) / len(scores) - 0.1), min(1, sum(scores) / len(scores) + 0.1)],
            "num_samples": len(scores),
            "num_unparsed": 1,
            "detail": None,
            **dial,
        }
        content = {
            "task": "skills",
            "seed": 10_000_000,
            "command": f"oryx eval skills --model nano --samples {len(scores)}",
            "versions": VERSIONS,
            "results": [result],
            **FACTS,
            **changes,
        }
        (folder / "skills.json").write_text(json.dumps(content))
        if answers:
            entries = [
                {
                    "test": "color",
                    "index": index,
                    "question": questions,
                    "expected": "red",
                    "answer": "red" if score else "<b>blue</b>|`x`",
                    "score": score,
                    **dial,
                }
                for index, score in enumerate(scores)
            ]
            write_lines(folder / "skills.answers.jsonl", entries)
        return folder

    return make


@pytest.fixture
def needle(tmp_path):
    """(name, models -> scores of two needles at each of two depths) -> folder."""

    def make(name, models, haystack="drawn"):
        folder = tmp_path / name
        folder.mkdir()
        entries = []
        for model, scores in models.items():
            answers = [
                {
                    "frames": 100,
                    "depth": depth,
                    "index": 99 * place,
                    "trial": trial,
                    "needle": 2 * place + trial,
                    "question": "What color is it?",
                    "expected": "red",
                    "answer": "red" if scores[2 * place + trial] else "blue",
                    "matches": bool(scores[2 * place + trial]),
                    "contains": False,
                }
                for place, depth in enumerate((0.0, 100.0))
                for trial in range(2)
            ]
            share = sum(scores) / 4
            totals = [{"frames": 100, "share": share, "interval": [share / 2, share], "num_trials": 4}]
            cells = [
                {"frames": 100, "depth": depth, "share": sum(scores[2 * place : 2 * place + 2]) / 2}
                for place, depth in enumerate((0.0, 100.0))
            ]
            entries.append({**FACTS, "model": model, "answers": answers, "totals": totals, "cells": cells})
        content = {
            "task": "needle",
            "frames": [100],
            "depths": [0.0, 100.0],
            "score": "exact",
            "command": f"oryx eval needle --model nano --haystack {haystack}",
            "versions": VERSIONS,
            "models": entries,
        }
        (folder / "needle.json").write_text(json.dumps(content))
        return folder

    return make


@pytest.fixture
def scanqa(tmp_path):
    """(name, whether each of the questions is answered right, changes) -> folder; two questions a scene."""

    def make(name, right, **changes):
        folder = tmp_path / name
        folder.mkdir()
        share = sum(right) / len(right)
        rules = ("em", "em_cleaned", "em_refined")
        one = {
            "share": share,
            "interval": [share / 2, share],
            "num_trials": len(right),
            "num_right": sum(right),
        }
        matches = dict.fromkeys(rules, one)
        content = {
            "task": "scanqa",
            **FACTS,
            "command": f"oryx eval scanqa {name}.jsonl --model nano",
            "records_sha256": "ef" * 32,
            "versions": VERSIONS,
            "num_questions": len(right),
            "num_unparsed": 0,
            "matches": matches,
            "kinds": [{"name": "place", "num_questions": len(right), "matches": matches}],
            "captions": {
                "scanqa": {"cider": {"value": 0.75 * share, "interval": [0.1, 0.9]}, "meteor": None}
            },
            "lacks": {"scanqa": {"meteor": "Java (such as `apt-get install jre`)"}},
            **changes,
        }
        (folder / "scanqa.json").write_text(json.dumps(content))
        entries = [
            {
                "id": f"val-{number}",
                "scene": f"scene{number // 2}",
                "kind": "place",
                "question": "Where is it?",
                "references": ["left", "on the left"],
                "answer": "left" if is_right else "right",
                "right": dict.fromkeys(rules, bool(is_right)),
                "problem": None,
            }
            for number, is_right in enumerate(right)
        ]
        write_lines(folder / "scanqa.answers.jsonl", entries)
        return folder

    return make


@pytest.fixture
def lmms(tmp_path):
    """(name, accuracy, standard error) -> folder as `lmms-eval --output_path` leaves it."""

    def make(name, accuracy, error):
        folder = tmp_path / name / "nano"
        folder.mkdir(parents=True)
        metrics = {
            "alias": "ocrbench",
            "accuracy,none": accuracy,
            "accuracy_stderr,none": "N/A",
            "accuracy_stderr_clt,none": error,
            "wer,flexible": 3.5,
        }
        content = {
            "results": {"ocrbench": metrics},
            "configs": {"ocrbench": {}},
            "higher_is_better": {"ocrbench": {"accuracy": True, "wer": False}},
            "n-samples": {"ocrbench": {"original": 9, "effective": 7}},
            "config": {"model": "oryx_mllm", "model_args": f"model=nano,note={name}", "batch_size": 1},
            "model_name": "nano",
            "lmms_eval_version": "0.7.3",
            "date": "20260101_101010",
        }
        (folder / "20260101_101010_results.json").write_text(json.dumps(content))
        (folder / "20260101_101010_samples_ocrbench.jsonl").write_text("{}\n")
        return folder.parent

    return make
