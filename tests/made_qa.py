"""Evaluation records of ScanQA and SQA3D on two made scenes, by the package's own builders."""

from __future__ import annotations

import json
from pathlib import Path

from made_scenes import furnished, write_plain

from oryx.data.builders.correspondence import MarkSettings, mark_scene
from oryx.data.builders.qa_3d import read_marked, read_scanqa, read_sqa3d, write_records

SCENES = ("scene0011_00", "scene0012_00")
SCANQA = (
    (SCENES[0], "Where is the chair?", ["by the desk", "next to desk"]),
    (SCENES[0], "How many chairs are there?", ["2", "two"]),
    (SCENES[1], "What color is the table?", ["brown"]),
    (SCENES[1], "Is the door open?", ["yes"]),
)
SQA3D = (
    (SCENES[0], "I sit on the chair.", "What is behind me?", "shelf"),
    (SCENES[0], "I stand by the door.", "Can I see the bed?", "no"),
    (SCENES[1], "I face the table.", "Which way is the shelf?", "left"),
)


def write_scanqa(folder: Path) -> Path:
    """`folder/scanqa.eval.jsonl` on two scenes of two views each."""
    entries = [
        {"scene_id": scene, "question_id": f"val-{number}", "question": question, "answers": answers}
        for number, (scene, question, answers) in enumerate(SCANQA)
    ]
    source = folder / "questions.json"
    source.write_text(json.dumps(entries))
    return _write(folder, "scanqa", read_scanqa(source))


def write_sqa3d(folder: Path) -> Path:
    """`folder/sqa3d.eval.jsonl`, likewise."""
    questions = [
        {"scene_id": scene, "situation": situation, "question": question, "question_id": number}
        for number, (scene, situation, question, _) in enumerate(SQA3D)
    ]
    answers = [{"question_id": n, "answers": [{"answer": entry[-1]}]} for n, entry in enumerate(SQA3D)]
    source, beside = folder / "questions.json", folder / "sqa_annotations.json"
    source.write_text(json.dumps({"questions": questions}))
    beside.write_text(json.dumps({"annotations": answers}))
    return _write(folder, "sqa3d", read_sqa3d(source, beside))


def _write(folder: Path, name: str, questions: list) -> Path:
    for scene in SCENES:
        if (folder / scene).exists():  # of the other benchmark's records
            continue
        write_plain(furnished(2), folder / "scans" / scene)
        mark_scene(folder / "scans" / scene, folder, MarkSettings(views=2, max_side=64))
    return write_records(questions, read_marked(folder), folder / f"{name}.eval.jsonl", "eval").path
