"""`oryx data correspondence` from end to end."""

import json
from pathlib import Path

import pytest
from made_scenes import furnished, write_plain, write_scannet
from written_records import read_records


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan in ScanNet's layout, and a scene of views and masks."""
    folder = tmp_path_factory.mktemp("scans")
    made = furnished(4)
    write_scannet(made, folder / "scene0011_00")
    write_plain(made, folder / "kitchen")
    return folder


def _questions(path: Path, scene: str = "scene0011_00", **more: object) -> Path:
    entry = {
        "scene_id": scene,
        "question": "What is it?",
        "question_id": "q-1",
        "answers": ["a chair"],
        **more,
    }
    path.write_text(json.dumps([entry]))
    return path


def test_scenes_to_marks_to_records(run, scans, tmp_path):
    questions = _questions(tmp_path / "ScanQA_v1.0_train.json", object_ids=[1], object_names=["table"])
    out = tmp_path / "out"
    result = run(
        "data", "correspondence", scans, "-o", out, "--views", 3, "--workers", 1, "--scanqa", questions
    )
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        f"2 scenes marked, 0 kept, 0 skipped: {out}/*/sheet.jpg",
        f"1 train records: {out}/ScanQA_v1.0_train.train.jsonl",
    ]
    (record,) = read_records(out / "ScanQA_v1.0_train.train.jsonl")
    assert [Path(view).name for view in record.visuals[0]["views"]] == ["000.jpg", "001.jpg", "002.jpg"]
    marks = json.loads((out / "scene0011_00" / "marks.json").read_text())
    assert [entry["label"] for entry in marks["objects"][:3]] == ["table", "chair", "shelf"]


def test_json_and_the_same_again(run, scans, tmp_path):
    arguments = ("data", "correspondence", scans, "-o", tmp_path / "out", "--workers", 1, "--json")
    first, again = json.loads(run(*arguments).out), json.loads(run(*arguments).out)
    assert (first["marked"], first["kept"], first["broken"]) == (["kitchen", "scene0011_00"], [], {})
    assert (again["marked"], again["kept"]) == ([], ["kitchen", "scene0011_00"])


def test_records_alone_of_what_is_marked(run, scans, tmp_path):
    out = tmp_path / "out"
    assert run("data", "correspondence", scans / "scene0011_00", "-o", out).code == 0
    questions = tmp_path / "v1_balanced_questions_test_scannetv2.json"
    entry = {"scene_id": "scene0011_00", "situation": "I sit.", "question": "Why?", "question_id": 7}
    questions.write_text(json.dumps({"questions": [entry, {**entry, "scene_id": "x", "question_id": 8}]}))
    answers = [{"question_id": number, "answers": [{"answer": "yes"}]} for number in (7, 8)]
    beside = tmp_path / "v1_balanced_sqa_annotations_test_scannetv2.json"
    beside.write_text(json.dumps({"annotations": answers}))
    result = run("data", "correspondence", "-o", out, "--sqa3d", questions, "--json")
    (written,) = json.loads(result.out)["records"]
    assert (written["kind"], written["records"], written["left_out"]) == ("eval", 1, 1)
    assert read_records(written["file"])[0].conversations[1]["value"] is None
    told = run("data", "correspondence", "-o", out, "--sqa3d", questions).out
    assert "1 questions left out, of scenes without marks" in told


def test_a_file_is_read_as_the_option_says_and_a_word_is_a_whole_one(run, scans, tmp_path):
    out = tmp_path / "out"
    assert run("data", "correspondence", scans / "scene0011_00", "-o", out).code == 0
    first, second = (_questions(tmp_path / name) for name in ("constrained_val.json", "x_train2.json"))
    result = run("data", "correspondence", "-o", out, "--scanqa", first, "--scanqa", second, "--json")
    written = json.loads(result.out)["records"]
    assert [(Path(entry["file"]).name, entry["kind"]) for entry in written] == [
        ("constrained_val.eval.jsonl", "eval"),
        ("x_train2.train.jsonl", "train"),
    ]


def test_files_that_would_be_written_to_one_are_refused(refused, tmp_path):
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(_questions(tmp_path / folder / "train.json"))
    out = ("-o", tmp_path / "out")
    for first, second in (("--scanqa", "--scanqa"), ("--scanqa", "--sqa3d")):
        said = refused("data", "correspondence", *out, first, paths[0], second, paths[1])
        assert "b/train.json' would both be written to" in said
    said = refused("data", "correspondence", *out, "--scanqa", paths[0], "--sqa3d", paths[0])
    assert "would both be written to" in said
    assert not (tmp_path / "out").exists()


def test_a_broken_scene_is_named_and_skipped(run, tmp_path):
    made = furnished(3)
    for name in ("a", "b"):
        write_plain(made, tmp_path / "in" / name)
    (tmp_path / "in" / "a" / "masks" / "view1.png").write_bytes(b"no picture")
    arguments = ("data", "correspondence", tmp_path / "in", "-o", tmp_path / "out", "--workers", 1)
    result = run(*arguments)
    assert result.code == 0
    assert result.err.startswith("oryx: a is skipped: ")
    assert "1 scenes marked, 0 kept, 1 skipped" in result.out
    result = run(*arguments, "--max-broken", 0)
    assert result.code == 2
    assert "1 scenes are broken, more than 0" in result.err


def test_what_is_refused(refused, scans, tmp_path):
    out = ("-o", tmp_path / "out")
    assert "nothing to do" in refused("data", "correspondence", *out)
    assert "does not exist" in refused("data", "correspondence", tmp_path / "none", *out)
    assert "allowed: auto, masks" in refused("data", "correspondence", scans, *out, "--source", "magic")
    assert "needs weights" in refused("data", "correspondence", scans, *out, "--source", "sam2")
    assert "no SAM 2 weights" in refused(
        "data", "correspondence", scans, *out, "--source", "sam2", "--sam2", tmp_path / "none"
    )
    unnamed = _questions(tmp_path / "mine.json")
    assert "train or eval is needed" in refused("data", "correspondence", *out, "--scanqa", unnamed)
    for name in ("constrained_val_and_train.json", "constrained.json"):
        unclear = _questions(tmp_path / name)
        assert "train or eval is needed" in refused("data", "correspondence", *out, "--scanqa", unclear)
    assert "allowed: auto, train, eval" in refused(
        "data", "correspondence", *out, "--scanqa", unnamed, "--records", "both"
    )
    assert "is not a folder of marked scenes" in refused(
        "data", "correspondence", *out, "--scanqa", unnamed, "--records", "train"
    )
    assert "other" in _remark(refused, scans, tmp_path)
    assert not (tmp_path / "out").exists()


def _remark(refused, scans, tmp_path):
    from oryx.data.builders.correspondence import mark_scenes

    mark_scenes([scans / "kitchen"], tmp_path / "again")
    return refused("data", "correspondence", scans / "kitchen", "-o", tmp_path / "again", "--objects", 3)


def test_the_group_tells_what_it_has(run):
    result = run("data")
    assert result.code == 0
    assert "correspondence" in result.out
