"""A run's folder is never overwritten in silence, and never holds half a thing."""

import errno
import json
import os
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from oryx.errors import ConfigError, OryxError
from oryx.training import folder as module
from oryx.training.distributed import World
from oryx.training.folder import RunFolder
from oryx.training.recipe import Recipe, load_recipe
from oryx.training.running import train


@pytest.fixture
def recipe(recipe_file) -> Recipe:
    return load_recipe(recipe_file)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def add_checkpoint(folder: RunFolder, step: int) -> None:
    with folder.write("a checkpoint", keep=folder.keep_checkpoint) as staging:
        staged = staging / f"checkpoint-{step}"
        staged.mkdir()
        (staged / "weights").write_text(str(step))


def finish(folder: RunFolder, step: int, steps: int) -> None:
    with folder.write("the model", keep=folder.keep_files) as staging:
        (staging / "config.json").write_text("{}")
        (staging / "trainer_state.json").write_text(json.dumps({"global_step": step, "max_steps": steps}))


def test_a_new_folder_gets_the_recipe(folder, recipe):
    assert folder.open(recipe, "never") is None
    assert load_recipe(folder.path / "recipe.yaml") == recipe


def test_goes_on_from_the_newest_checkpoint_and_keeps_two(folder, recipe):
    folder.open(recipe, "auto")
    for step in (8, 9, 10):
        add_checkpoint(folder, step)
    assert [path.name for path in folder.checkpoints()] == ["checkpoint-9", "checkpoint-10"]
    assert folder.open(recipe, "auto") == folder.path / "checkpoint-10"


def test_a_run_stopped_early_goes_on_although_it_exported_a_model(folder, recipe):
    folder.open(recipe, "auto")
    add_checkpoint(folder, 3)
    finish(folder, 3, 6)
    assert folder.open(recipe, "auto") == folder.path / "checkpoint-3"


def test_what_does_not_matter_may_change(folder, recipe):
    folder.open(recipe, "auto")
    changed = replace(recipe, num_workers=1, log_every=5, optim=replace(recipe.optim, max_minutes=1.0))
    assert folder.open(changed, "auto") is None


def test_a_model_that_is_replaced_is_no_model_until_it_is_whole(folder, recipe, monkeypatch):
    folder.open(recipe, "auto")
    finish(folder, 3, 6)
    original = os.replace

    def killed(source, target):
        assert not (folder.path / "config.json").exists()
        if Path(target).name != "trainer_state.json":
            raise KeyboardInterrupt
        original(source, target)

    monkeypatch.setattr("oryx.training.folder.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        finish(folder, 6, 6)
    assert not folder.is_finished(recipe)


def test_a_run_that_never_began_does_not_bind_the_folder(folder, recipe):
    folder.open(recipe, "auto")
    (folder.path / "broken-0.jsonl").write_text('{"batch": 0, "problem": "that ended it"}\n')
    changed = replace(recipe, seed=7)
    assert folder.open(changed, "auto") is None
    assert load_recipe(folder.path / "recipe.yaml") == changed


def other_recipe(folder: RunFolder, recipe: Recipe) -> Recipe:
    return replace(recipe, seed=7)


def same_recipe_after(prepare: Callable[[RunFolder], None]) -> Callable[[RunFolder, Recipe], Recipe]:
    def change(folder: RunFolder, recipe: Recipe) -> Recipe:
        prepare(folder)
        return recipe

    return change


@pytest.mark.parametrize(
    ("change", "resume", "said"),
    [
        (other_recipe, "auto", r"run of another recipe \(seed is 0 there and 7 here\)"),
        (
            same_recipe_after(lambda folder: finish(folder, 6, 6)),
            "auto",
            "is finished; choose another --output",
        ),
        (same_recipe_after(lambda folder: add_checkpoint(folder, 3)), "never", "a run that would be lost"),
        (same_recipe_after(lambda folder: (folder.path / "recipe.yaml").unlink()), "auto", "holds no run"),
    ],
)
def test_nothing_is_overwritten(folder, recipe, change, resume, said):
    folder.open(recipe, "auto")
    (folder.path / "log.jsonl").write_text("kept")
    recipe = change(folder, recipe)
    with pytest.raises(ConfigError, match=said):
        folder.open(recipe, resume)
    assert (folder.path / "log.jsonl").read_text() == "kept"


def test_a_file_is_no_folder(tmp_path, recipe):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        RunFolder(tmp_path / "file").open(recipe, "auto")
    with pytest.raises(ConfigError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "below").open(recipe, "auto")


def test_a_place_that_may_not_be_entered_is_a_sentence(folder, recipe, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("exists", "is_file"):  # which hide other errors alone
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(ConfigError, match=r"run cannot be written \(Permission denied\)"):
        folder.open(recipe, "auto")
    with pytest.raises(ConfigError, match=r"run cannot be read \(Permission denied\)"):
        folder.is_finished(recipe)


def test_two_runs_do_not_use_one_folder(folder, recipe, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0)
    folder.open(recipe, "auto")
    other = RunFolder(folder.path)
    with folder.write("a checkpoint") as staging:
        with pytest.raises(ConfigError, match=r"another run is writing \S+run; let it end, or choose"):
            other.open(recipe, "auto")
        assert staging.is_dir()
    folder.close()
    assert other.open(recipe, "auto") is None
    other.close()


def test_where_nothing_can_be_locked_a_run_goes_on(folder, recipe, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.FileLock, "acquire", refuse)
    assert folder.open(recipe, "auto") is None
    folder.close()


def test_a_folder_of_something_else_is_left_as_it_is(folder, recipe):
    folder.path.mkdir()
    (folder.path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        folder.open(recipe, "auto")
    assert [path.name for path in folder.path.iterdir()] == ["thesis.txt"]


class First(World):
    """The first of several processes, whose others agree with it."""

    def agree(self, problem):
        if problem is not None:
            raise problem

    def from_main(self, value):
        return value


@pytest.fixture
def start(tmp_path, recipe):
    """(processes, accumulation, step) -> what the run goes on from; with a step it leaves a checkpoint."""

    def call(processes: int, accumulation: int, step: int | None = None) -> str | None:
        changed = replace(recipe, batch=replace(recipe.batch, gradient_accumulation=accumulation))
        with closing(RunFolder(tmp_path / "run", First(0, processes))) as folder:
            checkpoint = folder.open(changed, "auto")
            if step is not None:
                add_checkpoint(folder, step)
        return checkpoint and checkpoint.name

    return call


def test_a_start_that_left_no_checkpoint_changes_nothing(start):
    """What a step read is asked of the checkpoint, not of the start after it."""
    start(2, 2, step=3)
    for _ in range(2):  # killed, and the same command again
        assert start(1, 4) == "checkpoint-3"
    assert start(2, 2) == "checkpoint-3"
    start(1, 4)
    with pytest.raises(
        ConfigError, match=r"reads 4 batches a step \(2 processes\), and now 8 \(1 processes\)"
    ):
        start(1, 8)
    with pytest.raises(ConfigError, match=r"gradient_accumulation is 2 there and 4 here"):
        start(2, 4)
    assert start(1, 4, step=6) == "checkpoint-3"
    assert start(4, 1) == "checkpoint-6"


class Second(First):
    """The second of two processes, with what the first one tells."""

    def from_main(self, value):
        return "its token"


def test_a_folder_that_is_not_shared_is_refused_at_once(recipe, tmp_path, monkeypatch):
    """A checkpoint would have a part on each machine, and no run could go on from it."""
    monkeypatch.setattr(module, "_holds", partial(module._holds, patience=0))
    file = tmp_path / "run" / ".shared"
    with pytest.raises(
        ConfigError, match=r"process 1 does not see what process 0 writes to \S+run; give all"
    ):
        RunFolder(tmp_path / "run", Second(1, 2)).open(recipe, "auto")
    file.parent.mkdir()
    for text in ("of another run", "its token"):
        file.write_text(text)
        with pytest.raises(ConfigError) if text != "its token" else nullcontext():
            RunFolder(tmp_path / "run", Second(1, 2)).open(recipe, "auto")
    with closing(RunFolder(tmp_path / "other", First(0, 2))) as folder:
        folder.open(recipe, "auto")
        assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "recipe.yaml"]


def test_deepspeed_s_checkpoint_is_read_by_as_many_processes(start, tmp_path):
    """It refuses others itself, after minutes of reading and with a traceback."""
    start(2, 2, step=3)
    (tmp_path / "run" / "checkpoint-3" / "global_step3").mkdir()
    with pytest.raises(ConfigError, match=r"checkpoints of 2 processes, which DeepSpeed reads with as many"):
        start(1, 4)
    assert start(2, 2) == "checkpoint-3"


def test_a_checkpoint_without_its_number_of_batches_goes_on(start, tmp_path):
    start(2, 2, step=3)
    checkpoint = tmp_path / "run" / "checkpoint-3"
    (checkpoint / "step.json").unlink()
    for rank in range(2):
        (checkpoint / f"rng_state_{rank}.pth").touch()
    assert start(1, 4) == "checkpoint-3"


@pytest.mark.parametrize("content", ["{", '{"global_step": 6}', '{"global_step": 6, "max_steps": null}'])
def test_a_damaged_state_is_a_sentence(folder, recipe, content):
    folder.open(recipe, "auto")
    finish(folder, 6, 6)
    (folder.path / "trainer_state.json").write_text(content)
    for ask in (folder.is_finished, lambda recipe: folder.open(recipe, "auto")):
        with pytest.raises(ConfigError, match=r"trainer_state.json is damaged; remove it to go on"):
            ask(recipe)
    (folder.path / "trainer_state.json").unlink()
    assert folder.open(recipe, "auto") is None


def test_a_full_disk_leaves_the_checkpoint_before(folder, recipe):
    folder.open(recipe, "auto")

    def fill_disk() -> None:
        with folder.write("checkpoint-6") as staging:
            (staging / "half").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OryxError, match=r"No space left on device.*there is no checkpoint before it"):
        fill_disk()
    add_checkpoint(folder, 3)
    with pytest.raises(OryxError, match=r"checkpoint-6 could not be written.*checkpoint-3 is whole"):
        fill_disk()
    assert sorted(path.name for path in folder.path.iterdir()) == [
        ".lock",
        "checkpoint-3",
        "recipe.yaml",
    ]
    assert (folder.path / "checkpoint-3" / "weights").read_text() == "3"


def test_a_disk_that_refuses_when_it_has_all_leaves_the_checkpoint_before(folder, recipe, monkeypatch):
    """As network file systems do, whose quota is asked when a file is closed."""
    folder.open(recipe, "auto")
    add_checkpoint(folder, 3)

    def refuse(number):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("oryx.files.os.fsync", refuse)
    with pytest.raises(OryxError, match=r"could not be written.*Disk quota exceeded.*checkpoint-3 is whole"):
        add_checkpoint(folder, 6)
    assert [path.name for path in folder.checkpoints()] == ["checkpoint-3"]


def test_weights_can_be_read_by_whoever_can_read_the_rest(folder, recipe):
    folder.open(recipe, "auto")
    for keep, names in (
        (folder.keep_checkpoint, ("checkpoint-3/model.safetensors",)),
        (folder.keep_files, ("model.safetensors", "adapter/adapter_model.safetensors", "config.json")),
    ):
        with folder.write("it", keep=keep) as staging:
            for name in names:
                (staging / name).parent.mkdir(exist_ok=True)
                (staging / name).write_text("")
                if name.endswith(".safetensors"):
                    (staging / name).chmod(0o600)  # as safetensors does
    expected = (folder.path / "config.json").stat().st_mode
    found = list(folder.path.rglob("*.safetensors"))
    assert len(found) == 3
    assert {path.stat().st_mode for path in found} == {expected}


def test_home_is_known_by_its_sign(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/run").path == tmp_path / "run"


def test_a_kill_while_the_recipe_is_written_leaves_the_one_before(folder, recipe, monkeypatch):
    folder.open(recipe, "auto")
    add_checkpoint(folder, 3)
    before = (folder.path / "recipe.yaml").read_text()

    def write_half(path, text, **kwargs):
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Path, "write_text", write_half)
        with pytest.raises(KeyboardInterrupt):
            folder.open(recipe, "auto")
    assert (folder.path / "recipe.yaml").read_text() == before
    assert folder.open(recipe, "auto") == folder.path / "checkpoint-3"


def test_a_kill_before_the_first_recipe_leaves_nothing(folder, recipe):
    folder.staging.mkdir(parents=True)
    (folder.staging / "recipe.yaml").write_text("model: {new")
    assert folder.open(recipe, "auto") is None
    assert load_recipe(folder.path / "recipe.yaml") == recipe


@pytest.mark.parametrize("content", ["model: {new", "output: 2024-13-45", "seed: \xff"])
def test_a_broken_recipe_of_a_run_is_one_sentence(folder, recipe, content):
    folder.open(recipe, "auto")
    add_checkpoint(folder, 3)
    (folder.path / "recipe.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"recipe.yaml cannot be read as a recipe; choose another") as error:
        folder.open(recipe, "auto")
    assert "\n" not in str(error.value)


def test_files_left_by_a_kill_are_cleared(folder, recipe):
    folder.open(recipe, "auto")
    folder.staging.mkdir()
    (folder.staging / "half").write_text("")
    folder.open(recipe, "auto")
    assert not folder.staging.exists()


def test_a_finished_run_is_known_by_its_recipe(recipe_file, tmp_path, silent):
    recipe = load_recipe(recipe_file, ["optim.steps=1"])
    folder = RunFolder(tmp_path / "run")
    assert not folder.is_finished(recipe)
    train(recipe, folder.path, console=silent)
    assert folder.is_finished(recipe)
    # Their number times the accumulation is what a step reads, so other processes may have made it.
    twice = load_recipe(recipe_file, ["optim.steps=1", "batch.gradient_accumulation=2"])
    assert RunFolder(folder.path, SimpleNamespace(size=2)).is_finished(twice)
    with pytest.raises(ConfigError, match=r"batch.gradient_accumulation is 1 there and 2 here"):
        folder.is_finished(twice)
    with pytest.raises(
        ConfigError, match=r"holds a run of another recipe \(optim.steps is 1 there and 2 here"
    ):
        folder.is_finished(load_recipe(recipe_file, ["optim.steps=2"]))
    (folder.path / "config.json").unlink()
    assert not folder.is_finished(recipe)
