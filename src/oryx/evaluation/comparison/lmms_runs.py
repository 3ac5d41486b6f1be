"""Results folders of lmms-eval: `DATE_results.json`, in the folder or in one below with the model's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.comparison.runs import Row, Run, read_results
from oryx.evaluation.metrics import Z_95

_STDERR = "_stderr"
_SETTINGS = ("model", "model_args", "batch_size", "limit", "offset", "gen_kwargs", "random_seed")


def read_lmms(folder: Path) -> list[Run]:
    """The runs of a folder, a run for each results file; none if it holds none.

    Raises:
        ConfigError: results that cannot be read.
    """
    runs = []
    for path in sorted([*folder.glob("*results*.json"), *folder.glob("*/*results*.json")]):
        content = read_results(path)
        if not isinstance(content.get("results"), dict) or "configs" not in content:
            continue
        try:
            runs.append(_run(path, content))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ConfigError(f"{path} cannot be read as results of lmms-eval.") from None
    return runs


def _run(path: Path, content: dict[str, Any]) -> Run:
    config = content.get("config") or {}
    name = str(content.get("model_name") or config.get("model") or "unknown model")
    arguments = config.get("model_args")
    settings = {key: str(config[key]) for key in _SETTINGS if config.get(key) not in (None, "")}
    return Run(
        task="lmms-eval",
        folder=path.parent,
        model=name,
        identity=f"{config.get('model')} {arguments}",
        settings=settings,
        machine={"lmms-eval": str(content.get("lmms_eval_version") or "unknown")},
        facts=f"weights unknown to lmms-eval; run of {content.get('date', 'an unknown day')}",
        command=f"lmms-eval --model {config.get('model')} --model_args {arguments}",
        rows=list(_rows(content)),
    )


def _rows(content: Mapping[str, Any]) -> Iterator[Row]:
    for task, metrics in content["results"].items():
        better = (content.get("higher_is_better") or {}).get(task) or {}
        samples = (content.get("n-samples") or {}).get(task) or {}
        for key, value in metrics.items():
            metric, _, filtered = key.partition(",")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not filtered or _STDERR in metric or not is_number:
                continue
            error = _error(metrics, metric, filtered)
            yield Row(
                group=str(task),
                label=metric if filtered == "none" else f"{metric} ({filtered})",
                value=float(value),
                interval=None if error is None else (value - Z_95 * error, value + Z_95 * error),
                count=samples.get("effective"),
                is_share=False,
                higher_is_better=better.get(metric),
            )


def _error(metrics: Mapping[str, Any], metric: str, filtered: str) -> float | None:
    """The standard error: by clusters where the harness knows them."""
    for kind in ("_clustered", "", "_clt"):
        error = metrics.get(f"{metric}{_STDERR}{kind},{filtered}")
        if isinstance(error, int | float) and not isinstance(error, bool):
            return float(error)
    return None
