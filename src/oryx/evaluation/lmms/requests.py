"""lmms-eval's requests: what is asked, and, before anything is answered, what their media or ids lack."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oryx.errors import ConfigError, MediaError
from oryx.evaluation.lmms.benchmarks import id_column
from oryx.evaluation.lmms.messages import media_paths, read_messages
from oryx.evaluation.lmms.settings import SeveralImages

_SHOWN = 20
Docs = Mapping[str, Mapping[str, Any]]
"""Task -> split -> its documents, as lmms-eval hands them to a model."""


@dataclass(frozen=True)
class Request:
    """One question of a task."""

    task: str
    split: str
    doc_id: int
    make_messages: Callable[[], Sequence[Any]]
    """lmms-eval's chat messages. What is wrong with their media may end in `SystemExit` there."""
    generation: Mapping[str, Any]
    continuation: str = ""
    """The answer whose loss is wanted."""
    is_padding: bool = False
    """Asked only to give all processes equally many requests; its answer goes nowhere."""

    @property
    def name(self) -> str:
        """Of the question, in sentences."""
        return f"document {self.doc_id} of {self.task}"

    def messages(self, several_images: SeveralImages) -> list[dict[str, Any]]:
        """Chat messages for `OryxProcessor.encode_messages`.

        Raises:
            MediaError: the task found no file, and ended the program or raised.
            ConfigError: a part that the model cannot take.
        """
        try:
            made = self.make_messages()
        except SystemExit as error:  # lmms-eval's tasks end the program over a missing video
            raise MediaError(f"{self.name} has no media ({error.code}).") from None
        except OSError as error:
            raise MediaError(f"{self.name} has no media ({error}).") from None
        return read_messages(made, several_images)


def read_requests(instances: Iterable[Any], docs: Docs) -> list[Request]:
    """Requests of lmms-eval's `Instance` objects, of chat or of simple tasks.

    Raises:
        ConfigError: a request of a form that no task of lmms-eval has.
    """
    return [_read(instance, docs) for instance in instances]


def _read(instance: Any, docs: Docs) -> Request:
    arguments = instance.args
    if len(arguments) != 6:
        raise ConfigError(f"a request of {instance.task_name} has {len(arguments)} parts; only 6 are known.")
    context, second, third, doc_id, task, split = arguments
    is_padding = bool((instance.metadata or {}).get("__padding_only__"))

    def doc() -> Any:
        return docs[task][split][doc_id]

    def from_visuals() -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for visual in third(doc()) or []:
            kind = "video" if isinstance(visual, str) and not _is_picture(visual) else "image"
            parts.append({"type": kind, "url": visual})
        return [{"role": "user", "content": [*parts, {"type": "text", "text": context}]}]

    if isinstance(third, Mapping):  # (context, doc_to_messages, generation, ...)
        return Request(task, split, doc_id, lambda: second(doc()), third, is_padding=is_padding)
    if isinstance(second, Mapping):  # (context, generation, doc_to_visual, ...)
        return Request(task, split, doc_id, from_visuals, second, is_padding=is_padding)
    continuation = second if isinstance(second, str) else second(doc())
    return Request(task, split, doc_id, from_visuals, {}, str(continuation), is_padding)


def _is_picture(path: str) -> bool:
    return path.lower().endswith((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp"))


def find_missing(requests: Sequence[Request], several_images: SeveralImages) -> dict[int, str]:
    """Requests, by index, whose media are not there, and what is said of them.

    Tasks whose first document holds its pictures itself are not looked through.
    """
    missing: dict[int, str] = {}
    holds_files: dict[str, bool] = {}
    for index, request in enumerate(requests):
        if request.is_padding or not holds_files.get(request.task, True):
            continue
        try:
            paths = media_paths(request.messages(several_images))
        except MediaError as error:
            missing[index] = str(error)
            continue
        holds_files.setdefault(request.task, bool(paths))
        absent = [path for path in paths if not os.path.exists(path)]
        if absent:
            missing[index] = f"{request.name}: {', '.join(absent[:3])} is not there."
    return missing


def describe_missing(missing: Mapping[int, str], num_requests: int, can_skip: bool = True) -> str:
    """One sentence about what `find_missing` found, and what can be done about it."""
    shown = [text.rstrip(".") for text in list(missing.values())[:_SHOWN]]
    more = f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    what_to_do = (
        "Put them there, or go on with missing=skip, which counts these requests as wrong."
        if can_skip
        else "Put them there: a task that compares likelihoods cannot go without (missing=skip)."
    )
    return f"{len(missing)} of {num_requests} requests have no media: {'; '.join(shown)}{more}. {what_to_do}"


def find_duplicates(requests: Sequence[Request], docs: Docs) -> dict[str, list[str]]:
    """Ids that a task's documents carry more than once, by task; a benchmark says which column is its id."""
    found: dict[str, list[str]] = {}
    for task, split in dict.fromkeys((request.task, request.split) for request in requests):
        column = id_column(task)
        documents = docs[task][split]
        if column is None or column not in getattr(documents, "column_names", ()):
            continue
        counts = Counter(str(value) for value in documents[column])
        twice = [value for value, count in counts.items() if count > 1]
        if twice:
            found[task] = twice
    return found


def describe_duplicates(duplicates: Mapping[str, Sequence[str]]) -> str:
    """One sentence about what `find_duplicates` found."""
    parts = []
    for task, values in duplicates.items():
        more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
        parts.append(
            f"{task} has several documents with {id_column(task)} {', '.join(values[:_SHOWN])}{more}"
        )
    return f"{'; '.join(parts)}: each would be counted; correct the data, or go on with duplicates=keep."
