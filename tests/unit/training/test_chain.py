"""Chains: each part from the one before, cut and gone on with; what is refused before anything is lost."""

import json
import re
from io import StringIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from ranks import run_ranks
from rich.console import Console
from safetensors.torch import load_file

from oryx.errors import ConfigError, OryxError
from oryx.training import summary
from oryx.training.chain import count_finished, is_chain, load_chain, train_chain
from oryx.training.data import SyntheticBatches
from oryx.training.recipe import load_recipe
from oryx.training.running import train


@pytest.fixture
def write_chain(settings, write_recipe, tmp_path):
    """Writes recipes one.yaml, two.yaml and three.yaml of two steps each, and their chain."""

    def write(**changes):
        settings["optim"]["steps"] = 2
        settings["save_every"] = 1
        for number, name in enumerate(("one", "two", "three")):
            recipe = {**settings, "output": str(tmp_path / "own" / name), "seed": number}
            if number:
                before = ("one", "two")[number - 1]
                recipe["model"] = {"from": str(tmp_path / "own" / before)}
            write_recipe(recipe, f"{name}.yaml")
        chain = {"parts": ["one.yaml", "two.yaml", "three.yaml"], "output": str(tmp_path / "all"), **changes}
        return write_recipe({key: value for key, value in chain.items() if value is not None}, "chain.yaml")

    return write


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def said(silent) -> str:
    return silent.file.getvalue()


def steps_read(monkeypatch):
    """Numbers of the batches that are made, in order."""
    read = []
    original = SyntheticBatches.__getitem__
    monkeypatch.setattr(
        SyntheticBatches, "__getitem__", lambda self, number: read.append(number) or original(self, number)
    )
    return read


def test_each_part_begins_where_the_one_before_ended(write_chain, tmp_path, silent):
    last = train_chain(write_chain(), console=silent)
    assert last == tmp_path / "all" / "three"
    assert not (tmp_path / "own").exists()
    # The same by hand, recipe after recipe.
    for name, before in (("one", None), ("two", "one"), ("three", "two")):
        changes = [f"model.from={tmp_path / 'hand' / before}"] if before else []
        train(tmp_path / f"{name}.yaml", tmp_path / "hand" / name, changes, console=silent)
        expected, found = weights(tmp_path / "hand" / name), weights(tmp_path / "all" / name)
        assert all(torch.equal(tensor, found[key]) for key, tensor in expected.items())


def test_it_says_which_part_runs_and_sums_up(write_chain, tmp_path, silent):
    train_chain(write_chain(), console=silent)
    text = said(silent)
    assert text.index("part 1 of 3: one") < text.index("part 2 of 3: two") < text.index("part 3 of 3: three")
    losses = [json.loads(line) for line in (tmp_path / "all" / "two" / "log.jsonl").read_text().splitlines()]
    row = next(line for line in text.splitlines() if re.search(r"^.?\s*two .*\d", line))
    numbers = re.findall(r"[\d.]+", row)
    assert numbers == [
        "2",
        f"{losses[-1]['minutes']:.1f}",
        f"{losses[0]['loss']:.4f}",
        f"{losses[-1]['loss']:.4f}",
    ]
    assert Image.open(tmp_path / "all" / "all_parts.png").size == (960, 480)
    page = (tmp_path / "all" / "all_parts.md").read_text()
    assert f"| two | {' | '.join(numbers)} |" in page
    assert "![Loss over all parts](all_parts.png)" in page
    for name in ("one", "two", "three"):
        assert Image.open(tmp_path / "all" / name / "loss.png").size == (960, 480)


def test_a_chain_goes_on_where_it_was_cut(write_chain, tmp_path, silent, monkeypatch):
    chain = write_chain()
    whole = weights(train_chain(chain, tmp_path / "whole", console=silent))
    read = steps_read(monkeypatch)
    with monkeypatch.context() as context:

        def fail(self, number, original=SyntheticBatches.__getitem__):
            if len(read) == 3:  # the second step of the second part
                raise OryxError("killed.")
            return original(self, number)

        context.setattr(SyntheticBatches, "__getitem__", fail)
        with pytest.raises(OryxError, match="killed"):
            train_chain(chain, console=silent)
    assert count_finished(load_chain(chain)) == 1
    before = weights(tmp_path / "all" / "one")
    first_run = len(said(silent))
    del read[:]
    train_chain(chain, console=silent)
    assert read == [1, 0, 1]  # the rest of the second part, and the third
    rest = said(silent)[first_run:]
    assert f"part 1 of 3: one is finished in {tmp_path / 'all' / 'one'}" in rest
    assert f"going on from {tmp_path / 'all' / 'two' / 'checkpoint-1'}" in rest
    assert all(torch.equal(tensor, weights(tmp_path / "all" / "one")[key]) for key, tensor in before.items())
    ended = weights(tmp_path / "all" / "three")
    assert all(torch.equal(tensor, ended[key]) for key, tensor in whole.items())


def test_a_part_stopped_by_its_time_stops_the_chain(write_chain, tmp_path, silent):
    chain = write_chain()
    folder = train_chain(chain, overrides=["optim.max_minutes=1e-9"], console=silent)
    assert folder == tmp_path / "all" / "one"
    assert "stopped after 1 of 2 steps; the same command goes on" in said(silent)
    assert not (tmp_path / "all" / "two").exists()
    for _ in range(2):
        folder = train_chain(chain, overrides=["optim.max_minutes=1e-9"], console=silent)
    assert folder == tmp_path / "all" / "three"  # each call ends one part and begins the next
    assert count_finished(load_chain(chain)) == 2


def test_a_finished_chain_trains_nothing_and_loses_nothing(write_chain, tmp_path, silent, monkeypatch):
    chain = write_chain()
    last = train_chain(chain, console=silent)
    read = steps_read(monkeypatch)
    assert train_chain(chain, console=silent) == last
    assert "part 3 of 3: three is finished" in said(silent)
    with pytest.raises(
        ConfigError, match=r"holds a run of another recipe \(optim.learning_rate is 0.003 there"
    ):
        train_chain(chain, overrides=["optim.learning_rate=1"], console=silent)
    # The second part would be made anew, but the third is from its old weights.
    (tmp_path / "all" / "two" / "config.json").unlink()
    with pytest.raises(
        ConfigError, match=r"three holds part three, but two before it is not finished; remove"
    ):
        train_chain(chain, console=silent)
    assert read == []


def test_without_an_output_parts_are_made_where_they_say(write_chain, tmp_path):
    chain = load_chain(write_chain(output=None))
    assert [part.folder for part in chain.parts] == [tmp_path / "own" / n for n in ("one", "two", "three")]
    assert chain.folder == tmp_path / "own" / "three"
    moved = load_chain(write_chain(output=None), output="elsewhere")
    assert [part.recipe.output for part in moved.parts] == [
        "elsewhere/one",
        "elsewhere/two",
        "elsewhere/three",
    ]
    assert [part.recipe.model.from_ for part in moved.parts] == [None, "elsewhere/one", "elsewhere/two"]


def test_a_part_that_names_no_weights_begins_from_the_one_before(
    write_chain, write_recipe, settings, tmp_path
):
    chain = write_chain()
    write_recipe({key: value for key, value in settings.items() if key != "model"}, "two.yaml")
    settings["model"] = {"processor": {"system_prompt": "Hi"}}
    write_recipe(settings, "three.yaml")
    parts = load_chain(chain).parts
    assert parts[1].recipe.model.from_ == str(tmp_path / "all" / "one")
    assert parts[2].recipe.model.from_ == str(tmp_path / "all" / "two")
    assert parts[2].recipe.model.processor == {"system_prompt": "Hi"}


def test_parts_may_take_a_tower_or_any_other_part_of_an_earlier_one(
    write_chain, write_recipe, settings, tmp_path
):
    chain = write_chain()
    own = tmp_path / "own"
    settings["model"] = {
        "assemble": {"vision_tower": f"{own}/one", "language_model": "some/lm", "projector": f"{own}/./two"}
    }
    write_recipe(settings, "three.yaml")
    section = load_chain(chain).parts[2].recipe.model.assemble
    assert section.vision_tower == str(tmp_path / "all" / "one")
    assert section.projector == str(tmp_path / "all" / "two")
    assert section.language_model == "some/lm"


def test_changes_reach_every_part(write_chain):
    parts = load_chain(write_chain(), overrides=["optim.steps=7", "data.synthetic.seed=9"]).parts
    assert [part.recipe.optim.steps for part in parts] == [7, 7, 7]
    assert [part.recipe.data.synthetic.seed for part in parts] == [9, 9, 9]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("output=x", "--set output=x does not go with a chain; give --output DIR"),
        ("parts=[]", "does not go with a chain; edit the chain's file"),
        ("model.from=nano", "whose parts begin from each other"),
        ("model.new.compressor_dim=4", "whose parts begin from each other"),
        ("model=null", "whose parts begin from each other"),
        ("optim.stepz=4", "--set: optim.stepz is not a known key; did you mean 'steps'"),
    ],
)
def test_changes_that_would_break_a_chain_are_refused(write_chain, override, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_chain(write_chain(), overrides=[override])


def test_weights_from_elsewhere_are_refused(write_chain, write_recipe, settings):
    chain = write_chain()
    settings["model"] = {"from": "nano"}
    write_recipe(settings, "three.yaml")
    with pytest.raises(ConfigError, match=r"three.yaml: model begins from no earlier part"):
        load_chain(chain)
    settings["model"] = 7
    write_recipe(settings, "three.yaml")
    with pytest.raises(ConfigError, match=r"three.yaml: model is 7; it must be a section"):
        load_chain(chain)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parts": []}, "parts is empty; name at least one recipe"),
        ({"parts": ["one.yaml", "none.yaml"]}, "none.yaml does not exist"),
        ({"parts": ["one.yaml", "one.yaml"]}, "two parts are called one"),
        ({"parts": ["one.yaml", "chain.yaml"]}, "chain.yaml is itself a chain; a chain's parts are recipes"),
        ({"parts": "one.yaml"}, "parts is 'one.yaml'; it must be a list"),
        ({"outputs": "x"}, "outputs is not a known key; did you mean 'output'"),
    ],
)
def test_chains_that_cannot_be_are_refused(write_chain, changes, words):
    with pytest.raises(ConfigError) as error:
        load_chain(write_chain(**changes))
    assert words in str(error.value)


def test_parts_need_folders_of_their_own(write_chain, write_recipe, settings):
    chain = write_chain(output=None)
    settings["model"] = None
    write_recipe(settings, "three.yaml")
    with pytest.raises(ConfigError, match=r"three.yaml: output is missing; set it there or in the chain"):
        load_chain(chain)
    settings["output"] = load_recipe(chain.parent / "one.yaml").output
    write_recipe(settings, "three.yaml")
    with pytest.raises(ConfigError, match=r"two parts have the output .*one; give each its own"):
        load_chain(chain)


def test_a_wrong_part_is_found_before_anything_is_trained(write_chain, tmp_path, silent):
    chain = write_chain()
    (tmp_path / "three.yaml").write_text("optim: {steps: none}")
    with pytest.raises(ConfigError, match=r"three.yaml"):
        train_chain(chain, console=silent)
    assert not (tmp_path / "all").exists()


def test_all_that_is_missing_is_told_at_once_each_for_the_first_part_that_needs_it(
    write_chain, write_recipe, settings, silent
):
    chain = write_chain()
    for name, missing in (("two", ["a"]), ("three", ["a", "b"])):
        sources = [{"path": f"{file}.json"} for file in missing]
        write_recipe({**settings, "model": {}, "data": {"sources": sources}}, f"{name}.yaml")
    with pytest.raises(ConfigError) as caught:
        train_chain(chain, console=silent)
    said = str(caught.value)
    assert said.startswith("data is missing: for part two, ")
    assert said.count("a.json does not exist") == 1
    assert "; for part three, " in said
    assert "b.json does not exist" in said


@pytest.mark.parametrize(
    ("key", "section", "words"),
    [
        (
            "data",
            {"sources": [{"path": "none.json", "name": "rooms"}]},
            r"rooms \(none.json does not exist\)",
        ),
        ("data", {"synthetic": {"skills": {"wrds": {}}}}, "did you mean 'words'"),
        ("model", {"processor": {"resize_rle": {}}}, "model.processor.resize_rle is not a known key"),
        ("model", {"grow": {"text_layers": 9}}, "text_layers is 9; it must be from 2 to 4"),
    ],
)
def test_what_a_later_part_cannot_do_is_found_before_anything_is_trained(
    write_chain, write_recipe, settings, tmp_path, silent, key, section, words
):
    chain = write_chain()
    write_recipe({**settings, "model": {}, key: section}, "three.yaml")
    with pytest.raises(ConfigError, match=f"part three.*{words}"):
        train_chain(chain, console=silent)
    assert not (tmp_path / "all").exists()


def test_data_of_a_finished_part_may_be_gone(write_chain, write_recipe, settings, record_file, silent):
    chain = write_chain(parts=["one.yaml", "two.yaml"])
    write_recipe({**settings, "data": {"sources": [{"path": str(record_file)}]}}, "one.yaml")
    write_recipe({**settings, "model": {}}, "two.yaml")
    first = load_chain(chain).parts[0]
    train(first.recipe, first.folder, console=silent)
    record_file.unlink()
    train_chain(chain, console=silent)
    assert count_finished(load_chain(chain)) == 2


def test_the_number_of_threads_is_that_of_its_part(write_chain, write_recipe, settings, silent, monkeypatch):
    chain = write_chain(parts=["one.yaml", "two.yaml"])
    write_recipe({**settings, "num_threads": 2}, "one.yaml")
    write_recipe({**settings, "model": {}}, "two.yaml")
    seen = []
    original = SyntheticBatches.__getitem__
    monkeypatch.setattr(
        SyntheticBatches,
        "__getitem__",
        lambda self, number: seen.append(torch.get_num_threads()) or original(self, number),
    )
    train_chain(chain, console=silent)
    assert seen == [2, 2, 1, 1]  # the tests' own number


def test_brackets_in_names_are_no_markup(write_chain, tmp_path, silent):
    write_chain()
    (tmp_path / "one.yaml").rename(tmp_path / "one [a].yaml")
    chain = write_chain(parts=["one [a].yaml"], output=str(tmp_path / "[b]"))
    for _ in range(2):
        train_chain(chain, console=silent)
    assert "part 1 of 1: one [a] ─" in said(silent)
    assert "one [a] is finished in" in said(silent)
    assert "[b]" in said(silent)
    assert re.search(r"│ one \[a\] +│ +2 │", said(silent))


def refused(chain: Path) -> tuple[str, bool]:
    """The error of this process, and whether another one says it."""
    try:
        train_chain(chain, console=Console(file=StringIO()))
    except ConfigError as error:
        return str(error), error.is_echo
    return "", False


def test_a_mistake_is_said_by_one_process(write_chain):
    first, second = run_ranks(2, refused, write_chain(parts=["one.yaml", "none.yaml"]))
    assert "none.yaml does not exist" in first[0]
    assert [first[1], second[1]] == [False, True]


def test_a_picture_that_cannot_be_written_loses_nothing(write_chain, tmp_path, silent, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(summary, "draw_curves", refuse)
    chain = write_chain(parts=["one.yaml"])
    assert train_chain(chain, overrides=["optim.steps=1"], console=silent) == tmp_path / "all" / "one"
    assert "all_parts.md and all_parts.png could not be written" in said(silent)


def test_a_chain_is_told_from_a_recipe(write_chain, tmp_path):
    chain = write_chain()
    assert is_chain(chain)
    assert not is_chain(tmp_path / "one.yaml")
    assert not is_chain(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"chain.yaml is a chain of recipes, which oryx train runs"):
        load_recipe(chain)
