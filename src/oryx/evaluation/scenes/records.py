"""Evaluation records of ScanQA and SQA3D (`oryx data correspondence`), checked before anything is asked."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.scenes.rules import Benchmark

_SQA3D_ID = "sqa3d-"
_NAMED = 3


@dataclass(frozen=True)
class SceneItem:
    """One question about one scene."""

    id: str
    scene: str
    question: str
    """The question alone, which decides its kind."""
    prompt: str
    """What the model is asked, `<image>` where the views stand."""
    views: tuple[Path, ...]
    compression: int
    answers: tuple[str, ...]
    """At least one, none of them blank."""

    @property
    def visual(self) -> dict[str, Any]:
        """The views as one visual, as in `encode_conversation`."""
        return {"type": "views", "views": list(map(str, self.views)), "compression": self.compression}


@dataclass(frozen=True)
class SceneItems:
    """The records of a file."""

    path: Path
    items: tuple[SceneItem, ...]
    sha256: str
    """Of the file."""

    def missing_views(self) -> dict[Path, int]:
        """Views that are not there -> how many questions need them."""
        needed = Counter(view for item in self.items for view in item.views)
        return {view: count for view, count in needed.items() if not view.is_file()}

    def without(self, views: Iterable[Path]) -> tuple[SceneItem, ...]:
        """The items that need none of these views."""
        gone = set(views)
        return tuple(item for item in self.items if gone.isdisjoint(item.views))


def read_items(path: str | Path, benchmark: Benchmark) -> SceneItems:
    """The records of a JSONL file; paths of views start in its folder.

    Raises:
        ConfigError: the file cannot be read, has no records, ids twice, or a record that is of the other
            benchmark, is for training, has no answers or another form; the sentence names the line.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        lines = [(number, line) for number, line in enumerate(data.decode().split("\n"), 1) if line.strip()]
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise ConfigError(f"'{path}' is not a file of records: it is no UTF-8 text.") from None
    items, places = [], dict[str, list[int]]()
    for number, line in lines:
        item = _read(line, f"'{path}' line {number}", path.parent)
        _check_benchmark(item, benchmark, f"'{path}' line {number}")
        items.append(item)
        places.setdefault(item.id, []).append(number)
    if not items:
        raise ConfigError(f"'{path}' holds no records; make them with: oryx data correspondence.")
    twice = {name: numbers for name, numbers in places.items() if len(numbers) > 1}
    if twice:
        told = [f"'{name}' (lines {', '.join(map(str, numbers))})" for name, numbers in twice.items()]
        raise ConfigError(f"'{path}' has {_some(told)} more than once; each id must stand once.")
    return SceneItems(path, tuple(items), hashlib.sha256(data).hexdigest())


def refuse_missing(records: SceneItems, missing: Mapping[Path, int], option: str) -> None:
    """Refuse records whose views are not all there.

    Args:
        option: what goes on without the questions that need them.

    Raises:
        ConfigError: names some of them.
    """
    if missing:
        lost = len(records.items) - len(records.without(missing))
        raise ConfigError(
            f"{len(missing)} views are missing, which {lost} of {len(records.items)} questions need: "
            f"{_some([str(view) for view in missing])}; {option} leaves these questions out."
        )


def _read(line: str, place: str, root: Path) -> SceneItem:
    try:
        record = json.loads(line)
        (visual,) = record["visuals"]
        asked, said = record["conversations"]
        views = tuple(root / view for view in visual["views"])
        prompt, compression = asked["value"], visual.get("compression", 4)
        texts = [record[key] for key in ("id", "scene")] + [prompt]
        if not views or not isinstance(compression, int) or not all(isinstance(text, str) for text in texts):
            raise TypeError
        is_open = said["value"] is None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{place} is no record of one scene's views and one question.") from None
    question, answers = record.get("question"), record.get("answers")
    if not is_open or not isinstance(question, str) or not isinstance(answers, list):
        raise ConfigError(
            f"{place} is no evaluation record; make them with: oryx data correspondence --records eval."
        )
    if not answers or not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise ConfigError(f"{place} has no answers, or a blank one: what is said cannot be scored.")
    return SceneItem(record["id"], record["scene"], question, prompt, views, compression, tuple(answers))


def _check_benchmark(item: SceneItem, benchmark: Benchmark, place: str) -> None:
    other: Benchmark = "sqa3d" if item.id.startswith(_SQA3D_ID) else "scanqa"
    if other != benchmark:
        raise ConfigError(f"{place} ('{item.id}') is of {other}, not of {benchmark}.")


def _some(told: Sequence[str]) -> str:
    more = len(told) - _NAMED
    return ", ".join(told[:_NAMED]) + (f" and {more} more" if more > 0 else "")
