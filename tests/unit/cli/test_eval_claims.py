"""`oryx eval claims`: what it refuses, what it skips, and that a cut run goes on."""

import json

import pytest

from oryx.evaluation.claims import store as stores
from oryx.evaluation.claims.arms import Measured
from oryx.evaluation.claims.store import ArmResult


@pytest.fixture
def runs_nothing(monkeypatch):
    def run(*args, **kwargs):
        raise AssertionError("an arm was run")

    monkeypatch.setattr("oryx.evaluation.claims.run.run_arm", run)


def made(store, name, seed):
    """A result with half of everything right."""
    measures = {one.name: Measured(0.5, 400, 80.0, 4100.0, one.chance) for one in store.arms[name].measures}
    return ArmResult(name, seed, store.settings(name, seed), measures, "00", 1, 1.0, 1.0, {})


def keep(folder, names, seeds=1, quick=False):
    """Results and trained weights of arms, as far as anybody looks, without training any."""
    store = stores.Store(folder, stores.planned(quick))
    for name in names:
        for seed in range(seeds):
            store.write(made(store, name, seed))
            store.training_folder(name, seed).mkdir(parents=True)
            (store.training_folder(name, seed) / "model.safetensors").touch()
    return store


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--claim", "h"), "there is no claim 'h'; allowed: a, b, c, d, e, f, g."),
        (("--page", "/no/such.md"), "/no/such.md cannot be read (No such file or directory)."),
        (("--quick", "--seeds", 1), "--quick is of one seed; leave out --seeds."),
        (("--report", "--seeds", 3), "--report is of all that the folder holds; leave out --claim and"),
        (("--report", "--claim", "a"), "--report is of all that the folder holds; leave out --claim and"),
        (
            ("--report",),
            "out holds no results of claims (arms/ARM-seedN.json), so there is nothing to report;",
        ),
        (("--claim", "g", "--rooms", "/none"), "claim g needs the folders train and test of rooms"),
    ],
)
def test_refusals(refused, runs_nothing, tmp_path, words, message):
    assert message in refused("eval", "claims", *words, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_of_other_settings(refused, runs_nothing, tmp_path):
    keep(tmp_path, ["native"], quick=True)
    message = refused("eval", "claims", "--claim", "a", "--output", tmp_path)
    assert "native-seed0.json holds results of other settings (arm.measures, arm.steps" in message


def test_measured_arms_are_only_reported(run, runs_nothing, tmp_path):
    keep(tmp_path, ["base", "native", "square", "aspect", "tiled"], seeds=2)
    result = run("eval", "claims", "--claim", "a", "--seeds", 2, "--output", tmp_path)
    assert result.code == 0, result.err
    assert "(a) Native resolution: does not hold" in result.out  # all arms are equal
    content = json.loads((tmp_path / "claims.json").read_text())
    assert content["command"] == "oryx eval claims --claim a --seeds 2"


def test_a_report_of_what_there_is(run, runs_nothing, tmp_path):
    keep(tmp_path, ["base", "dial"], seeds=2)
    result = run("eval", "claims", "--report", "--output", tmp_path)
    assert result.code == 0, result.err
    assert result.out.count("not measured") == 6
    assert json.loads((tmp_path / "claims.json").read_text())["seeds"] == [0, 1]


def test_rooms_that_are_not_there(run, runs_nothing, tmp_path):
    keep(tmp_path, [name for name in stores.planned(False) if not name.startswith("rooms_")])
    words = ("eval", "claims", "--output", tmp_path, "--rooms", tmp_path / "none", "--seeds")
    result = run(*words, 1)
    assert result.code == 0, result.err
    why = "none lacks the folders of rooms train and test; see recipes/nano/materials/README.md."
    assert f"Skipped: {tmp_path}/{why}" in result.err
    assert "(g) Marks in rooms: Skipped" in result.out
    keep(tmp_path, ["rooms_marked", "rooms_plain"], seeds=3)
    result = run(*words, 3, "--claim", "g")  # what is measured needs none
    assert "(g) Marks in rooms: does not hold" in result.out


PAGE = "what it is\n<!-- results: oryx eval claims -->\n<!-- end of results -->\n"


def test_what_a_report_would_lose(run, refused, runs_nothing, tmp_path):
    keep(tmp_path / "all", ["base", "dial"], seeds=2)
    keep(tmp_path / "some", ["base"])
    keep(tmp_path / "quick", ["base"], quick=True)
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(PAGE)
    report = ("eval", "claims", "--report", "--output")
    assert run(*report, tmp_path / "all", "--page", page).code == 0
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def kept(*words):
        message = refused(*words)
        assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
        return message

    message = kept(*report, tmp_path / "some", "--page", page)
    assert (
        f"{page.parent}/claims.json holds 3 of 4 results that would be lost, such as base of seed" in message
    )
    quick = ("eval", "claims", "--quick", "--report", "--output", tmp_path / "quick", "--page", page)
    assert f"{page.parent}/claims.json holds the results of a whole run; choose" in kept(*quick)
    assert run(*report, tmp_path / "all", "--page", page).code == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("claims.md", "my notes", "claims.md is a page of something else; choose another --output."),
        ("claims.md", "# Claims of the paper", "claims.md is a page of something else"),
        ("claims.json", "{}", "claims.json cannot be read as results of claims; choose another place."),
    ],
)
def test_files_of_something_else(refused, runs_nothing, tmp_path, name, text, message):
    keep(tmp_path, ["base"])
    (tmp_path / name).write_text(text)
    assert message in refused("eval", "claims", "--claim", "a", "--output", tmp_path)
    assert message in refused("eval", "claims", "--report", "--output", tmp_path)
    assert (tmp_path / name).read_text() == text


def test_a_report_is_of_all_that_the_folder_holds(run, runs_nothing, tmp_path):
    keep(tmp_path, ["base", "native", "square", "aspect", "tiled", "dial"], seeds=3)
    for more in (("--claim", "a", "--seeds", 2), ("--claim", "b"), ("--report",)):
        assert run("eval", "claims", *more, "--output", tmp_path).code == 0
        content = json.loads((tmp_path / "claims.json").read_text())
        verdicts = {one["claim"]: one["verdict"] for one in content["claims"]}
        assert verdicts["a"] == verdicts["b"] == "does not hold"
        assert content["seeds"] == [0, 1, 2]
    assert content["command"] == "oryx eval claims --seeds 3"
    assert len(verdicts) == 7


def test_a_quick_run_goes_on_where_it_was_cut(run, monkeypatch, tmp_path):
    store = keep(tmp_path, ["base", "native", "square", "aspect"], quick=True)
    done = []

    def train(store, name, seed, rooms=None):
        done.append(name)
        result = made(store, name, seed)
        store.write(result)
        return result

    class Pool:
        """Runs at once, in this process."""

        def __init__(self, *args, **kwargs):
            pass

        def submit(self, work, *args):
            from concurrent.futures import Future

            future = Future()
            future.set_result(train(*args))
            return future

        def shutdown(self, **kwargs):
            pass

    monkeypatch.setattr("oryx.evaluation.claims.run.ProcessPoolExecutor", Pool)
    result = run("eval", "claims", "--quick", "--claim", "a", "--output", tmp_path)
    assert result.code == 0, result.err
    assert done == ["tiled"]
    assert result.err.splitlines()[:2] == [
        "oryx: 0 of 1 arms, 0:00:28 left",  # by the minutes of the arms that are kept
        "oryx: 1 of 1 arms, tiled seed 0: letter 50.0%, color 50.0%, shape 50.0%, 1.0 min, 0:00:00 left",
    ]
    assert "(a) Native resolution: not decided at this scale" in result.out
    assert "A quick run" in (tmp_path / "claims.md").read_text()
    assert store.read("tiled", 0).minutes == 1.0
