"""The plugin as a whole: it needs no lmms-eval to be imported, and what it ships belongs together."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from oryx.evaluation.lmms import CONFIGS, MODEL_ID, TASKS, manifest
from oryx.evaluation.lmms.__main__ import main
from oryx.evaluation.lmms.benchmarks import BENCHMARKS, find_benchmark, id_column
from oryx.evaluation.lmms.settings import PluginSettings

DOCS = Path(__file__).parents[4] / "docs" / "evaluation.md"


def read(file):
    """A task file, its functions as text."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    return yaml.load(file.read_text(), Loader)


def task_files():
    return [file for file in TASKS.rglob("*") if file.suffix == ".yaml" or file.name.endswith("_yaml")]


def test_nothing_imports_lmms_eval_before_it_is_asked_for():
    code = "import sys; sys.modules['lmms_eval'] = None\n" + "\n".join(
        f"import oryx.evaluation.lmms.{name}"
        for name in (
            "messages",
            "settings",
            "generation",
            "requests",
            "prompts",
            "answering",
            "judge",
            "caching",
            "needle",
            "scenes",
        )
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("given", "home"), [(None, "/me/.cache/huggingface"), ("~/hub", "/me/hub"), ("/hub", "/hub")]
)
def test_tasks_of_lmms_eval_find_the_videos_where_ours_do(monkeypatch, given, home):
    """Some of them need HF_HOME, some take "~" for a folder."""
    registry = ModuleType("lmms_eval.models.registry_v2")
    registry.ModelManifest = dict
    for name in ("lmms_eval", "lmms_eval.models", registry.__name__):
        monkeypatch.setitem(sys.modules, name, registry)
    monkeypatch.setenv("HOME", "/me")
    monkeypatch.setenv("HF_HOME", given or "")
    if given is None:
        monkeypatch.delenv("HF_HOME")
    manifest()
    assert os.environ["HF_HOME"] == home


@pytest.mark.parametrize("file", task_files(), ids=lambda file: file.stem)
def test_functions_of_a_task_are_there(file):
    text = file.read_text()
    names = [line.partition("!function ")[2].strip() for line in text.splitlines() if "!function" in line]
    assert names or "include" in text
    for name in names:
        if name.startswith("lmms_eval."):
            continue  # loaded where it is installed: tests/lmms_plugin
        module, _, function = name.rpartition(".")
        package = module if "." in module else f"oryx.evaluation.lmms.tasks.{file.parent.name}.{module}"
        assert callable(getattr(__import__(package, fromlist=[function]), function)), name


@pytest.mark.parametrize("file", task_files(), ids=lambda file: file.stem)
def test_tasks_are_named_after_us(file):
    settings = read(file)
    name = settings.get("task") if isinstance(settings.get("task"), str) else settings.get("group")
    assert name is None or name.startswith("oryx_")


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_configs_are_sound(file):
    settings = yaml.safe_load(file.read_text())
    assert settings["model"] == MODEL_ID
    assert "env" not in settings  # it would take the place of what the user exported
    arguments = dict(item.split("=") for item in settings["model_args"].split(","))
    assert PluginSettings.parse(arguments).model == "THUdyh/Oryx-7B"


def test_every_benchmark_is_in_the_config_of_its_table():
    for config in {benchmark.config for benchmark in BENCHMARKS}:
        settings = yaml.safe_load((CONFIGS / config).read_text())
        own = [task for one in BENCHMARKS if one.config == config for task in one.tasks]
        assert sorted(settings["tasks"].split(",")) == sorted(own), config


def test_every_benchmark_is_in_the_docs():
    text = DOCS.read_text()
    for benchmark in BENCHMARKS:
        assert benchmark.name in text
        assert f"`{benchmark.config}`" in text
        for task in benchmark.tasks:
            assert f"`{task}`" in text, task


def test_a_task_finds_its_benchmark():
    assert find_benchmark("mvbench_moving_count").name == "MVBench"
    assert id_column("docvqa_val") == "questionId"
    assert find_benchmark("gsm8k") is None
    assert id_column("gsm8k") is None


def test_folders_are_printed(capsys):
    for name, folder in (("tasks", TASKS), ("configs", CONFIGS)):
        assert main([name]) == 0
        assert capsys.readouterr().out.strip() == str(folder)
        assert folder.is_dir()


@pytest.mark.parametrize("arguments", [[], ["task"], ["tasks", "x"], ["needle"]])
def test_anything_else_is_a_sentence(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("oryx: usage: ")
