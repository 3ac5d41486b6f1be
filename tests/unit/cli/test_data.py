"""`oryx data`: check and pack."""

import json

import pytest
import yaml
from made_records import png, turns
from PIL import Image

from oryx.media.video import read_frames


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path):
    """Four records, whole ones."""
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    entries = [{"conversations": turns("<image>A"), "image": f"{number}.png"} for number in range(4)]
    path = tmp_path / "data.json"
    path.write_text(json.dumps(entries))
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.fixture
def recipe(tmp_path, data):
    """Two sources and synthetic samples, on nano."""
    (tmp_path / "texts.jsonl").write_text(json.dumps({"conversations": turns("What?", "It.")}))
    sources = [
        {"path": str(data), "name": "pictures", "weight": 2, "licence": "free"},
        {"path": str(tmp_path / "texts.jsonl"), "name": "texts", "weight": 1},
        {"path": "unused", "weight": 0},
    ]
    settings = {
        "model": {"from": "nano"},
        "data": {"sources": sources, "synthetic": {"skills": {"words": {}}, "weight": 1}},
        "optim": {"steps": 1},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_whole_data_pass(run, data):
    result = run("data", "check", data, "--workers", 0)
    assert result.code == 0
    assert "records" in result.out
    assert f"{data}" in result.out.replace("\n", "")


@pytest.mark.parametrize("quick", [False, True])
def test_every_broken_record_is_named_by_place(run, data, quick):
    truncate(data.parent / "1.png")
    (data.parent / "3.png").unlink()
    result = run("data", "check", data, "--json", "--workers", 0, *(["--quick"] if quick else []))
    assert result.code == 2
    (source,) = json.loads(result.out)["checked"][0]["sources"]
    places = [problem.partition(": ")[0] for problem in source["broken"]]
    assert places == [f"{data} record {number}" for number in ([3] if quick else [1, 3])]
    assert (source["records"], json.loads(result.out)["broken"]) == (4, len(places))
    plain = run("data", "check", data, "--workers", 0, *(["--quick"] if quick else []))
    assert plain.code == 2
    assert all(problem in plain.out for problem in source["broken"])


def test_a_recipe_is_a_table_of_its_sources(run, recipe):
    result = run("data", "check", recipe, "--json", "--workers", 0)
    assert result.code == 0, result
    pictures, texts = json.loads(result.out)["checked"][0]["sources"]
    assert (pictures["name"], pictures["records"], pictures["licence"]) == ("pictures", 4, "free")
    assert (pictures["share"], texts["share"]) == (0.5, 0.25)
    assert pictures["token_share"] + texts["token_share"] == pytest.approx(1)
    assert pictures["tokens"] > 4 * texts["tokens"] > 0
    shown = run("data", "check", recipe, "--workers", 0).out
    assert "synthetic" in shown
    assert "25.0%" in shown


def test_a_record_longer_than_a_row_is_broken(run, recipe):
    result = run("data", "check", recipe, "--set", "batch.row_length=16", "--workers", 0)
    assert result.code == 2
    assert "more than batch.row_length (16)" in result.out


def test_frames_that_training_would_not_choose_are_decoded_too(run, data):
    frames = [png(0, 16, 16), png(1, 16, 16)[:40], png(2, 16, 16)]
    (data.parent / "patch").write_bytes(b"".join(frames))
    video = {"patch": "patch", "start_num": 0, "size": [len(frame) for frame in frames]}
    visual = {"type": "video", "video": video, "max_frames": 2}
    needle = {"video_long": video, "idx": [0], "type": "caption", "question": "<idx>?", "answer": "It."}
    entries = [{"conversations": turns("<image>A"), "visuals": [visual]}, needle]
    data.write_text(json.dumps(entries))
    result = run("data", "check", data, "--json", "--workers", 0)
    (source,) = json.loads(result.out)["checked"][0]["sources"]
    assert [problem.partition(": ")[2][:8] for problem in source["broken"]] == ["frame 1:"] * 2


NEEDLE = {"video_long": "v.mp4", "idx": 0, "type": "caption", "question": "<idx>?", "answer": "It."}
DEEP = json.loads("[" * 600 + "]" * 600)
ODD = [
    {"conversations": turns("What \ud83d?")},
    {"conversations": turns(answer="\ud83d")},
    {"messages": [{"role": "user", "content": 5}]},
    {"messages": [{"role": "user", "content": {"type": "text", "text": "hi"}}]},
    {"messages": [{"role": ["user"], "content": "What?"}]},
    {"messages": [{"role": "user", "content": [{"type": ["text"], "text": "hi"}]}]},
    {"conversations": turns(), "visuals": 5},
    {"conversations": turns("<image>"), "visuals": [{"type": ["image"], "image": "0.png"}]},
    {"conversations": turns("<image>"), "image": DEEP},
    {"conversations": turns("<image>"), "image": "\ud83d.png"},
    {"conversations": turns("<image>"), "video": "v" * 5000},
    {"conversations": turns("<image>"), "image": {"patch": "0.png", "start_num": 0, "size": 10**14}},
    {"conversations": turns("<image>"), "image": {"patch": "0.png", "start_num": 10**30, "size": 1}},
    {"conversations": turns("<image>"), "image": {"patch": "0.png", "start_num": 0, "size": float("inf")}},
    {"conversations": turns("<image>"), "visuals": [{"type": [], "image": "0.png"}]},
    {**NEEDLE, "type": ["caption"]},
    {"conversations": turns(answer=None)},
    {"conversations": turns()[:1]},
]


@pytest.mark.parametrize("quick", [False, True])
def test_every_odd_record_is_named_and_ends_nothing(run, data, quick):
    data.write_text(json.dumps([*ODD, {"conversations": turns()}]))
    result = run("data", "check", data, "--json", "--workers", 0, *(["--quick"] if quick else []))
    assert result.code == 2, result
    (source,) = json.loads(result.out)["checked"][0]["sources"]
    places = [problem.partition(": ")[0] for problem in source["broken"]]
    assert places == [f"{data} record {number}" for number in range(len(ODD))]


def test_odd_records_are_left_out_of_packs(run, data):
    data.write_text(json.dumps([*ODD[:-2], {"conversations": turns()}]))
    result = run("data", "pack", data, data.parent / "packed", "--skip-broken", "--json")
    assert result.code == 0, result
    assert json.loads(result.out)["records"] == 1


@pytest.mark.parametrize("kind", ["film", "folder"])
def test_frames_that_other_passes_show_are_decoded_too(run, data, video, kind, monkeypatch):
    """Of a long video that is a file or a folder too."""
    seen = []
    if kind == "film":

        def read(source, indices):
            seen.extend(indices)
            return read_frames(source, indices)

        monkeypatch.setattr("oryx.data.sources.checking.read_frames", read)
        long_video = video("v.mp4", num_frames=300)
    else:
        long_video = data.parent / "folder"
        long_video.mkdir()
        for number in range(300):
            (long_video / f"{number}.png").write_bytes(png(number, 8, 8)[: 40 if number == 7 else None])
    data.write_text(json.dumps([{**NEEDLE, "video_long": str(long_video), "idx": [298]}]))
    result = run("data", "check", data, "--json", "--workers", 0)
    if kind == "film":
        assert result.code == 0, result
        assert {0, 298, 299} < set(seen)
        assert len(seen) > 192
    else:
        (problem,) = json.loads(result.out)["checked"][0]["sources"][0]["broken"]
        assert problem.startswith(f"{data} record 0: frame 7: ")


def test_workers_find_the_same(run, data):
    entries = [{"conversations": turns("<image>A"), "image": f"{n % 4}.png"} for n in range(300)]
    data.write_text(json.dumps(entries))
    truncate(data.parent / "2.png")
    one, two = (run("data", "check", data, "--json", "--workers", number).out for number in (0, 2))
    assert json.loads(one) == json.loads(two)
    assert json.loads(one)["broken"] == 75


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "none.json"], "none.json does not exist"),
        (["check", "{data}", "--format", "zip"], "the format 'zip' is unknown; allowed: llava"),
        (["pack", "{data}", "{root}"], "exists already; choose another folder"),
        (["pack", "{data}", "{root}/p", "--format", "zip"], "the format 'zip' is not written"),
        (["pack", "{data}", "{root}/p", "--shard-size", "big"], "--shard-size is 'big'; it must be a size"),
        (["pack", "{root}/none/*.json", "{root}/p"], "matches no file"),
        (["check", "{data}", "--set", "batch.row_length=5"], "--set is for recipes, and {data} is a file of"),
        (["check", "{root}/a.yaml", "--media-root", "x"], "--media-root is for files of records, and {root}"),
        (["check", "{root}/a.yaml", "--format", "llava"], "--format is for files of records, and {root}"),
    ],
)
def test_what_cannot_be_is_one_sentence(refused, data, arguments, said):
    filled = [argument.format(data=data, root=data.parent) for argument in arguments]
    assert said.format(data=data, root=data.parent) in refused("data", *filled)


def test_names_and_licences_are_shown_as_they_are(run, data, tmp_path):
    source = {"path": str(data), "name": "mine [ab]", "licence": "see [/srv/LICENCE.txt]"}
    settings = {
        "output": str(tmp_path / "out"),
        "model": {"from": "nano"},
        "data": {"sources": [source]},
        "optim": {"steps": 1},
    }
    (tmp_path / "[a].yaml").write_text(yaml.safe_dump(settings))
    result = run("data", "check", tmp_path / "[a].yaml", "--workers", 0)
    shown = "".join(result.out.replace("│", "").split())  # lines are folded
    assert "mine[ab]" in shown
    assert "[/srv/LICENCE.txt]" in shown
    assert "[a].yaml" in shown


@pytest.mark.parametrize(("given", "asked"), [([], "Describe the image."), (["--prompt", "What?"], "What?")])
def test_captions_are_packed_with_the_question_they_are_given(run, tmp_path, given, asked):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    (folder / "a.txt").write_text("A black square.")
    assert run("data", "pack", folder, tmp_path / "packed", *given).code == 0
    record = json.loads((tmp_path / "packed" / "records.jsonl").read_text())
    assert record["conversations"][0]["value"] == f"<image>\n{asked}"


def test_synthetic_recipes_have_nothing_to_check(refused, tmp_path):
    settings = {
        "model": {"from": "nano"},
        "data": {"synthetic": {"skills": {"words": {}}}},
        "optim": {"steps": 1},
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(settings))
    assert "names no data.sources to check" in refused("data", "check", tmp_path / "a.yaml")


@pytest.mark.parametrize("format_", ["patches", "webdataset"])
def test_packed_data_pass(run, data, format_):
    packed = data.parent / "packed"
    result = run("data", "pack", data, packed, "--format", format_, "--json")
    assert result.code == 0, result
    assert json.loads(result.out)["records"] == 4
    assert run("data", "check", packed, "--workers", 0).code == 0


def test_broken_records_are_left_out_where_that_is_wanted(run, refused, data):
    (data.parent / "1.png").unlink()
    assert "record 1: " in refused("data", "pack", data, data.parent / "packed")
    result = run("data", "pack", data, data.parent / "packed", "--skip-broken")
    assert result.code == 0
    assert result.out.startswith("Wrote 3 records with ")
    assert result.err.startswith(f"skipped {data} record 1: ")
