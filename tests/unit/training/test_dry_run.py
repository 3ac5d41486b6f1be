"""Dry runs: what they find and print, from a recipe or a chain, without training anything."""

import json
from io import StringIO

import pytest
from rich.console import Console

from oryx.errors import ConfigError
from oryx.training import building
from oryx.training.building import build_model
from oryx.training.dry_run import dry_run_file
from oryx.training.recipe import load_recipe


@pytest.fixture
def wide():
    """A console whose tables are not cut."""
    return Console(file=StringIO(), width=250)


@pytest.fixture
def run(recipe_file, wide, monkeypatch):
    """(changes) -> the result and what was printed."""

    def fail(*_):
        raise AssertionError("a dry run builds no weights")

    monkeypatch.setattr(building, "build_model", fail)

    def call(*changes, output="runs/x"):
        (result,) = dry_run_file(recipe_file, output, changes, wide)
        return result, wide.file.getvalue()

    return call


def test_it_counts_what_learns_and_says_how_much_is_read(run, recipe_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result, text = run("train=[projector, compressor]", "batch.gradient_accumulation=3")
    model, _ = build_model(load_recipe(recipe_file))
    learns = sum(p.numel() for part in (model.projector, model.compressor) for p in part.parameters())
    assert f"{learns:,} of {sum(p.numel() for p in model.parameters()):,}" in text
    assert text.count("frozen") == 2
    assert "steps: 6\n" in text
    assert "positions a step: 2 rows of 192 x 3 = 1,152 on one process, 9,216 on 8" in text
    assert "synthetic samples: words" in text
    assert "100.0%" in text
    assert text.endswith("output: runs/x\n")
    assert result.missing == ()
    assert not (tmp_path / "runs").exists()


def test_memory_is_summed_and_shared_out(run):
    result, text = run("precision=bfloat16")
    total = sum(result.memory.values())
    assert f"{total / 2**20:,.2f} MiB" in next(line for line in text.splitlines() if "together" in line)
    weights = next(line for line in text.splitlines() if "weights" in line)
    assert f"{result.memory['weights'] / 8 / 2**20:,.2f} MiB" in weights


def test_what_lies_on_the_host_is_not_summed(run):
    result, text = run("parallel.strategy=fsdp2", "parallel.cpu_offload=true")
    rest = result.memory["activations"] + result.memory["logits"]
    assert f"{rest / 2**20:,.2f} MiB" in next(line for line in text.splitlines() if "together" in line)
    assert text.count("on the host") == 3


def test_sources_that_are_there_are_counted_and_those_that_are_not_are_named(run, record_file, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("[{")
    sources = [
        {"path": str(record_file), "name": "here", "weight": 3, "licence": "CC0: example.org"},
        {"path": "none.json", "name": "gone", "weight": 1, "format": "llava"},
        {"path": str(broken), "name": "broken", "weight": 0.0},
    ]
    changes = [
        "data.synthetic=null",
        f"data.sources={json.dumps(sources)}",
        "optim.steps=null",
        "optim.epochs=2",
    ]
    result, text = run(*changes)
    here, gone = result.sources
    assert (here.num_records, here.share, here.problems) == (20, 0.75, ())
    assert (gone.num_records, gone.share) == (None, 0.25)
    assert "missing: gone (none.json does not exist)" in text
    assert "steps: 2 epochs; counted when all data is there" in text
    assert "CC0: example.org" in text


def test_epochs_of_data_that_is_there_are_counted_in_records(run, record_file):
    changes = ["data.synthetic=null", f"data.files=[{{path: {record_file}}}]", "optim.steps=null"]
    _, text = run(*changes, "optim.epochs=1")
    assert "steps: 1 epoch of 20 records; counted when the run begins" in text
    assert "by records" in text


def test_damaged_data_is_named(run, tmp_path):
    (tmp_path / "broken.json").write_text("[{")
    _, text = run("data.synthetic=null", f"data.files=[{{path: {tmp_path / 'broken.json'}}}]")
    assert "missing: " in text
    assert "broken.json" in text


def test_a_model_that_is_nowhere_is_said_and_all_else_is_shown(run):
    result, text = run("model.new=null", "model.from=some/where", "model.processor={}")
    assert result.plan is None
    assert "cannot be counted: some/where is not on this machine" in text
    assert "steps: 6" in text


def test_rows_beyond_the_language_model_s_positions_are_noted(run):
    _, text = run("model.new.text.max_position_embeddings=100")
    assert "note: rows of 192 positions are longer than the 100 of the language model's config" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optim.stepz=1", "optim.stepz is not a known key"),
        ("data.synthetic.skills.wrds={}", "did you mean 'words'"),
        ("data.synthetic.skills.words.leters=[1, 2]", "did you mean 'letters'"),
        ("train=[]", "everything would be frozen"),
    ],
)
def test_wrong_recipes_are_refused(run, change, said):
    with pytest.raises(ConfigError, match=said):
        run(change)


def test_an_output_is_needed(recipe_file, wide):
    with pytest.raises(ConfigError, match="output is missing"):
        dry_run_file(recipe_file, None, [], wide)


def test_brackets_in_a_name_are_no_markup(run, record_file):
    sources = [{"path": str(record_file), "name": "COCO [val]", "licence": "[see there]"}]
    _, text = run("data.synthetic=null", f"data.sources={json.dumps(sources)}")
    assert "COCO [val]" in text
    assert "[see there]" in text


def test_a_chain_is_looked_at_part_by_part(settings, write_recipe, wide):
    write_recipe(settings, "one.yaml")
    write_recipe({**settings, "model": {}, "train": ["projector"]}, "two.yaml")
    write_recipe({**settings, "model": {"vision": {"position_embedding": "both"}}}, "three.yaml")
    parts = ["one.yaml", "two.yaml", "three.yaml"]
    chain = write_recipe({"parts": parts, "output": "runs/chain"}, "chain.yaml")
    one, two, three = dry_run_file(chain, None, ["optim.steps=9"], wide)
    text = wide.file.getvalue()
    assert text.index("part 1 of 3: one") < text.index("part 2 of 3: two") < text.index("part 3 of 3: three")
    assert "note: runs/chain/one is made by a part before this one" in text
    assert text.count("steps: 9\n") == 3
    assert "output: runs/chain/three" in text
    assert two.plan.config == one.plan.config
    assert three.plan.config.vision_config.position_embedding == "both"
    assert two.memory["gradients"] < one.memory["gradients"]
