"""ScanQA and SQA3D files to records. The entries are in the forms that their authors document."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from written_records import read_records

from oryx.data.builders.correspondence.marks import MarkedObject, MarkedScene, MarkedView, write_marks
from oryx.data.builders.correspondence.sights import Sight
from oryx.data.builders.qa_3d import (
    build_record,
    read_marked,
    read_scanqa,
    read_sqa3d,
    write_records,
)
from oryx.errors import ConfigError

SCANQA = [
    {
        "answers": ["dark brown", "brown"],
        "object_ids": [4, 5],
        "object_names": ["chair", "chair"],
        "question": "What color is the chair in the kitchen?",
        "question_id": "val-scene0011-0",
        "scene_id": "scene0011_00",
    },
    {
        "answers": ["on table"],
        "object_ids": [7],
        "object_names": ["lamp"],
        "question": "Where is the lamp?",
        "question_id": "val-scene0025-3",
        "scene_id": "scene0025_00",
    },
]
QUESTIONS = {
    "info": {"version": "1.0"},
    "task_type": "Situated question answering",
    "questions": [
        {
            "scene_id": "scene0011_00",
            "situation": "I am facing a window and there is a desk on my right.",
            "alternative_situation": ["I stand looking out of the window in thought."],
            "question": "What color is the desk to my right?",
            "question_id": 220602000000,
        }
    ],
}
ANNOTATIONS = {
    "annotations": [
        {
            "scene_id": "scene0011_00",
            "question_type": "N/A",
            "answer_type": "other",
            "question_id": 220602000000,
            "answers": [{"answer": "brown", "answer_confidence": "yes", "answer_id": 1}],
            "rotation": {"_x": 0, "_y": 0, "_z": 0.1, "_w": 0.99},
            "position": {"x": -0.96, "y": -1.24, "z": 0},
        }
    ]
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder with one marked scene of two views; its chair 4 has the number 1."""
    folder = tmp_path / "marked" / "scene0011_00"
    (folder / "views").mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (64, 48)).save(folder / "views" / f"00{number}.png")
    views = tuple(MarkedView(f"views/00{n}.png", f"color/{n}.jpg", 48, 64) for n in range(2))
    sights = {0: Sight(20.0, 30.0, 99.0), 1: Sight(22.0, 31.0, 98.0)}
    objects = (MarkedObject(4, 1, "chair", sights), MarkedObject(5, None, "chair", {0: sights[0]}))
    write_marks(MarkedScene(folder.name, folder, "masks", views, objects, 15, {}), folder)
    return folder.parent


def _save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def scanqa(tmp_path: Path) -> Path:
    return _save(tmp_path / "ScanQA_v1.0_val.json", SCANQA)


@pytest.fixture
def sqa3d(tmp_path: Path) -> Path:
    _save(tmp_path / "v1_balanced_sqa_annotations_train_scannetv2.json", ANNOTATIONS)
    return _save(tmp_path / "v1_balanced_questions_train_scannetv2.json", QUESTIONS)


def test_training_records_of_scanqa_are_read_by_training(output: Path, scanqa: Path) -> None:
    result = write_records(read_scanqa(scanqa), read_marked(output), output / "scanqa.jsonl")
    assert (result.records, result.left_out, result.missing) == (1, 1, ("scene0025_00",))
    (record,) = read_records(result.path)
    views = [str(output / "scene0011_00" / "views" / f"00{n}.png") for n in range(2)]
    assert record.visuals == [{"type": "views", "views": views, "compression": 4}]
    assert all(Path(view).is_file() for view in views)
    human, gpt = record.conversations
    assert human["value"] == (
        "<image>\nThe same number marks the same object in every view.\n"
        "What color is the chair in the kitchen?\nAnswer with a word or a short phrase."
    )
    assert gpt == {"from": "gpt", "value": "dark brown"}
    raw = json.loads(result.path.read_text())
    assert (raw["id"], raw["scene"]) == ("val-scene0011-0", "scene0011_00")
    assert raw["objects"] == [
        {"id": 4, "label": "chair", "number": 1},
        {"id": 5, "label": "chair", "number": None},
    ]


def test_evaluation_records_leave_the_answer_open(output: Path, scanqa: Path) -> None:
    result = write_records(
        read_scanqa(scanqa), read_marked(output), output / "eval.jsonl", "eval", every=True
    )
    (record,) = read_records(result.path)
    assert record.conversations[1] == {"from": "gpt", "value": None}
    assert json.loads(result.path.read_text())["answers"] == ["dark brown", "brown"]


def test_sqa3d_says_where_the_asker_stands(output: Path, sqa3d: Path) -> None:
    (question,) = read_sqa3d(sqa3d)
    record = build_record(question, read_marked(output)["scene0011_00"], output)
    assert record["id"] == "sqa3d-220602000000"
    assert record["conversations"][0]["value"].splitlines()[2:4] == [
        "I am facing a window and there is a desk on my right.",
        "What color is the desk to my right?",
    ]
    assert record["conversations"][1]["value"] == "brown"
    assert "objects" not in record


def test_every_answer_and_situation_makes_a_record(output: Path, scanqa: Path, sqa3d: Path) -> None:
    questions = [*read_scanqa(scanqa), *read_sqa3d(sqa3d)]
    result = write_records(questions, read_marked(output), output / "all.jsonl", every=True, compression=16)
    raw = [json.loads(line) for line in result.path.read_text().splitlines()]
    assert [(entry["id"], entry["conversations"][1]["value"]) for entry in raw] == [
        ("val-scene0011-0.0", "dark brown"),
        ("val-scene0011-0.1", "brown"),
        ("sqa3d-220602000000.0", "brown"),
        ("sqa3d-220602000000.1", "brown"),
    ]
    assert "in thought" in raw[3]["conversations"][0]["value"]
    assert {entry["visuals"][0]["compression"] for entry in raw} == {16}


def test_paths_are_relative_to_the_record_file(output: Path, scanqa: Path, tmp_path: Path) -> None:
    result = write_records(read_scanqa(scanqa), read_marked(output), tmp_path / "deep" / "er" / "a.jsonl")
    assert json.loads(result.path.read_text())["visuals"][0]["views"][0].startswith(
        "../../marked/scene0011_00/"
    )
    assert Path(read_records(result.path)[0].visuals[0]["views"][0]).is_file()


def test_test_files_have_neither_answers_nor_objects(output: Path, tmp_path: Path) -> None:
    bare = [{key: SCANQA[0][key] for key in ("question", "question_id", "scene_id")}]
    questions = read_scanqa(_save(tmp_path / "ScanQA_v1.0_test_wo_obj.json", bare))
    marked = read_marked(output)
    result = write_records(questions, marked, output / "test.jsonl", "eval")
    raw = json.loads(result.path.read_text())
    assert raw["answers"] == []
    assert "objects" not in raw
    with pytest.raises(ConfigError, match="val-scene0011-0 has no answer"):
        write_records(questions, marked, output / "no.jsonl", "train")
    assert not (output / "no.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "list of questions"),
        ([3], "entry 0 must be an object"),
        ([{"scene_id": "a", "question": "b"}], "entry 0 has no text 'question_id'"),
        ([{"scene_id": "a", "question": "b", "question_id": "c", "answers": "d"}], "must be lists"),
    ],
)
def test_broken_scanqa(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_scanqa(_save(tmp_path / "q.json", content))


def test_broken_sqa3d(sqa3d: Path, tmp_path: Path) -> None:
    other = _save(tmp_path / "answers.json", {"annotations": []})
    with pytest.raises(ConfigError, match="question 220602000000 has no answer"):
        read_sqa3d(sqa3d, other)
    _save(other, {"annotations": [{"question_id": 1, "answers": ["x"]}]})
    with pytest.raises(ConfigError, match=r"annotations\[0\] must have \"answers\""):
        read_sqa3d(sqa3d, other)
    _save(other, [])
    with pytest.raises(ConfigError, match='must hold "annotations"'):
        read_sqa3d(sqa3d, other)
    sqa3d.with_name(sqa3d.name.replace("questions", "sqa_annotations")).unlink()
    with pytest.raises(ConfigError, match=r"sqa_annotations_train_scannetv2\.json' does not exist"):
        read_sqa3d(sqa3d)
    renamed = sqa3d.rename(tmp_path / "mine.json")
    with pytest.raises(ConfigError, match="annotations must be given"):
        read_sqa3d(renamed)


def test_no_marked_scenes(output: Path, scanqa: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        read_marked(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="none of the 2 questions is about one of the 0 marked scenes"):
        write_records(read_scanqa(scanqa), {}, tmp_path / "a.jsonl")


def test_records_that_cannot_be_written(output: Path, scanqa: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_records(read_scanqa(scanqa), read_marked(output), tmp_path / "file" / "a.jsonl")


@pytest.mark.parametrize("source", ["features", "sam2", "MySource"])
def test_ids_of_patches_and_tracks_are_no_objects_of_the_question(
    output: Path, scanqa: Path, source: str
) -> None:
    scene = read_marked(output)["scene0011_00"]
    question = read_scanqa(scanqa)[0]
    for name, number in ((source, None), ("boxes", 1)):
        record = build_record(question, replace(scene, source=name), output)
        assert record["objects"][0] == {"id": 4, "label": "chair", "number": number}
