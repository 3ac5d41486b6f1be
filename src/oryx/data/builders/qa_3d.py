"""ScanQA and SQA3D: questions about scanned rooms, as training and evaluation records on marked views.

Formats, as their authors document and publish them:

- ScanQA (github.com/ATR-DBI/ScanQA, docs/dataset.md and lib/dataset.py):
  `ScanQA_v1.0_{train,val,test_w_obj,test_wo_obj}.json`, a list of {scene_id, question_id, question, answers,
  object_ids, object_names}. Test files may lack answers and objects. `object_ids` are ScanNet's `objectId`.
- SQA3D (github.com/SilongYong/SQA3D, assets/dataset.md): `v1_balanced_questions_<split>_scannetv2.json`,
  {"questions": [{scene_id, situation, alternative_situation, question, question_id}]}, and beside it
  `v1_balanced_sqa_annotations_<split>_scannetv2.json`, {"annotations": [{question_id, answers: [{answer}]}]}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from oryx.data.builders.correspondence.marks import FILE, MarkedScene, read_marks
from oryx.data.builders.correspondence.scenes import read_json
from oryx.errors import ConfigError
from oryx.files import staged

RecordKind: TypeAlias = Literal["train", "eval"]

# Sources of identity whose ids are those of the scene's own files; others number what they found.
_OWN_IDS = ("masks", "boxes")

# The wording of the published 3D data is not known: these are ours.
MARKS_NOTE = "The same number marks the same object in every view."
ANSWER_NOTE = "Answer with a word or a short phrase."
COMPRESSION = 4
"""Patches to a visual token, as for videos of up to 64 frames; the published data's ratio is not known."""


@dataclass(frozen=True)
class SceneQuestion:
    """One question about one scene."""

    id: str
    scene: str
    """Name of the scan, such as scene0000_00."""
    question: str
    answers: tuple[str, ...]
    """Every answer that counts as right; none where they are not published."""
    situations: tuple[str, ...] = ()
    """Descriptions of one place to stand in, the first being the main one. ScanQA has none."""
    object_ids: tuple[int, ...] = ()
    """What the question is about, by ScanNet's objectId. SQA3D does not tell."""
    object_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordsResult:
    """What was written."""

    path: Path
    records: int
    left_out: int
    """Questions of scenes that are not marked."""
    missing: tuple[str, ...]
    """Those scenes."""


def read_scanqa(path: str | Path) -> list[SceneQuestion]:
    """The questions of a ScanQA file.

    Raises:
        ConfigError: the file is missing or has another form; the sentence names the entry.
    """
    entries = read_json(Path(path))
    if not isinstance(entries, list):
        raise ConfigError(f"'{path}' must hold a list of questions, as ScanQA's files do.")
    return [_scanqa(entry, f"'{path}' entry {number}") for number, entry in enumerate(entries)]


def read_sqa3d(path: str | Path, annotations: str | Path | None = None) -> list[SceneQuestion]:
    """The questions of an SQA3D file, with their answers.

    Args:
        path: the file of questions.
        annotations: the file of answers; the one of the matching name beside it if None.

    Raises:
        ConfigError: a file is missing or has another form, or a question has no answer in `annotations`.
    """
    path = Path(path)
    beside = path.with_name(path.name.replace("questions", "sqa_annotations"))
    annotations = Path(annotations) if annotations is not None else beside
    if annotations == path:
        raise ConfigError(f"'{path}' is not named as SQA3D's questions are; its annotations must be given.")
    answers: dict[Any, tuple[str, ...]] = {}
    for place, entry in _entries(annotations, "annotations"):
        given = entry.get("answers")
        if not isinstance(given, list) or not all(isinstance(a, Mapping) and "answer" in a for a in given):
            raise ConfigError(f'{place} must have "answers", a list of objects with "answer".')
        answers[entry.get("question_id")] = tuple(str(answer["answer"]) for answer in given)
    questions = []
    for place, entry in _entries(path, "questions"):
        number = entry.get("question_id")
        if number not in answers:
            raise ConfigError(f"{place}: question {number} has no answer in '{annotations}'.")
        others = entry.get("alternative_situation") or []
        situations = (_text(entry, "situation", place), *map(str, others))
        scene, question = _text(entry, "scene_id", place), _text(entry, "question", place)
        questions.append(SceneQuestion(f"sqa3d-{number}", scene, question, answers[number], situations))
    return questions


def read_marked(folder: str | Path) -> dict[str, MarkedScene]:
    """Every marked scene directly in a folder, by its name.

    Raises:
        ConfigError: the folder is missing, or a scene's marks are broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"'{folder}' is not a folder of marked scenes.")
    found = (path.parent for path in sorted(folder.glob(f"*/{FILE}")))
    return {scene.name: read_marks(scene) for scene in found if not scene.name.startswith(".")}


def build_record(
    question: SceneQuestion,
    scene: MarkedScene,
    root: Path,
    kind: RecordKind = "train",
    *,
    answer: str | None = None,
    situation: str | None = None,
    compression: int = COMPRESSION,
) -> dict[str, Any]:
    """One record in the LLaVA layout, the scene's views as its visual.

    An evaluation record is the same with the assistant's turn left open, and the bare `question` and its
    `answers` beside it. Both say what the question is about, as far as that is known, and the number of what
    is marked of it, where the marks are on objects of the scene's files and not on what was tracked.

    Args:
        question: what is asked.
        scene: its scene, marked.
        root: folder of the record file; paths are written relative to it.
        kind: "train" or "eval".
        answer: what the assistant says; the first answer if None.
        situation: where the asker stands; the first description, if there is one, if None.
        compression: of the views.
    """
    situation = situation or (question.situations[0] if question.situations else None)
    lines = ["<image>", MARKS_NOTE, situation, question.question, ANSWER_NOTE]
    prompt = "\n".join(line for line in lines if line)
    said = (answer or question.answers[0]) if kind == "train" else None
    numbers = {entry.id: entry.number for entry in scene.marked} if scene.source in _OWN_IDS else {}
    views = [Path(os.path.relpath(path, root)).as_posix() for path in scene.files]
    record: dict[str, Any] = {
        "id": question.id,
        "scene": question.scene,
        "visuals": [{"type": "views", "views": views, "compression": compression}],
        "conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": said}],
    }
    if kind == "eval":
        record |= {"question": question.question, "answers": list(question.answers)}
    if question.object_ids:
        names = question.object_names or (None,) * len(question.object_ids)
        record["objects"] = [
            {"id": name, "label": label, "number": numbers.get(name)}
            for name, label in zip(question.object_ids, names)
        ]
    return record


def write_records(
    questions: Sequence[SceneQuestion],
    scenes: Mapping[str, MarkedScene],
    path: str | Path,
    kind: RecordKind = "train",
    *,
    every: bool = False,
    compression: int = COMPRESSION,
) -> RecordsResult:
    """Write JSONL that training reads as a source of format `llava`.

    Args:
        questions: as `read_scanqa` and `read_sqa3d` give them.
        scenes: marked scenes by name; questions about others are left out and counted.
        path: the file. It appears when it is whole.
        kind: "train" or "eval".
        every: a training record for each answer and each description of the situation, not the first alone.
        compression: of the views.

    Raises:
        ConfigError: no question is about a marked scene, or training records are asked of questions without
            answers, or the file cannot be written.
    """
    path = Path(path)
    answered = [question for question in questions if question.scene in scenes]
    missing = sorted({question.scene for question in questions if question.scene not in scenes})
    if not answered:
        raise ConfigError(
            f"none of the {len(questions)} questions is about one of the {len(scenes)} marked scenes; they "
            f"are about {', '.join(missing[:3]) or 'nothing'}{', ...' if len(missing) > 3 else ''}."
        )
    if kind == "train":
        mute = next((question for question in answered if not question.answers), None)
        if mute is not None:
            raise ConfigError(f"question {mute.id} has no answer; such a file gives evaluation records only.")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(path) as staging, staging.open("w", encoding="utf-8") as file:
            for record in _records(answered, scenes, path.parent, kind, every, compression):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written ({error}).") from None
    return RecordsResult(path, count, len(questions) - len(answered), tuple(missing))


def _records(
    questions: Iterable[SceneQuestion],
    scenes: Mapping[str, MarkedScene],
    root: Path,
    kind: RecordKind,
    every: bool,
    compression: int,
) -> Iterator[dict[str, Any]]:
    for question in questions:
        scene = scenes[question.scene]
        if not every or kind == "eval":
            yield build_record(question, scene, root, kind, compression=compression)
            continue
        pairs = [(a, s) for a in dict.fromkeys(question.answers) for s in question.situations or (None,)]
        for number, (answer, situation) in enumerate(pairs):
            record = build_record(
                question, scene, root, kind, answer=answer, situation=situation, compression=compression
            )
            yield {**record, "id": f"{question.id}.{number}"}


def _scanqa(entry: Any, place: str) -> SceneQuestion:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{place} must be an object.")
    lists = {key: entry.get(key) or [] for key in ("answers", "object_ids", "object_names")}
    if not all(isinstance(value, list) for value in lists.values()):
        raise ConfigError(f"{place}: answers, object_ids and object_names must be lists.")
    return SceneQuestion(
        id=_text(entry, "question_id", place),
        scene=_text(entry, "scene_id", place),
        question=_text(entry, "question", place),
        answers=tuple(map(str, lists["answers"])),
        object_ids=tuple(lists["object_ids"]),
        object_names=tuple(map(str, lists["object_names"])),
    )


def _entries(path: Path, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    content = read_json(path)
    entries = content.get(key) if isinstance(content, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigError(f"'{path}' must hold \"{key}\", a list of objects, as SQA3D's files do.")
    for number, entry in enumerate(entries):
        yield f"'{path}' {key}[{number}]", entry


def _text(entry: Mapping[str, Any], key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{place} has no text {key!r}.")
    return value
