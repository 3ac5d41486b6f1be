"""Every recipe of the project can be run as far as a dry run goes, and says what the method published."""

from pathlib import Path

import pytest
import yaml
from rich.console import Console

from oryx.training import building, growing
from oryx.training.chain import is_chain
from oryx.training.dry_run import dry_run_file
from oryx.training.recipe import PARTS, load_recipe, read_settings

FOLDER = Path(__file__).parents[3] / "recipes"
LAUNCHERS = FOLDER / "parallel"
"""What accelerate and DeepSpeed read; no recipes."""
FILES = sorted(file for file in FOLDER.rglob("*.yaml") if LAUNCHERS not in file.parents)
MODELS = ("oryx_7b", "oryx_34b", "oryx_1_5_7b", "oryx_1_5_32b")
STAGES = ("vit", "align", "image_sft", "joint_sft")


def is_base(file):
    """Values that other recipes extend: it names no output of its own."""
    settings, _ = read_settings(file)
    return "parts" not in settings and "output" not in settings


def extended_by(file):
    return (file.parent / (yaml.safe_load(file.read_text()).get("extends") or "none")).resolve()


RECIPES = [file for file in FILES if not is_base(file)]


@pytest.fixture(autouse=True)
def _few_words(monkeypatch):
    """nano's tokenizers from a few samples: thousands take seconds, for each recipe."""
    for module in (building, growing):
        original = module.synthetic_texts
        monkeypatch.setattr(module, "synthetic_texts", lambda _, original=original: original(20))


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_it_runs_dry(file, monkeypatch, tmp_path):
    monkeypatch.chdir(FOLDER.parent)  # paths in recipes begin at the project's folder
    console = Console(file=(tmp_path / "out").open("w"), width=200)
    found = dry_run_file(file, None, [], console)
    for result in found:
        assert result.plan is not None, result.problem
        assert result.parts is not None


def test_every_base_is_used():
    bases = {file.resolve() for file in FILES if file not in RECIPES}
    assert bases <= {extended_by(file) for file in FILES}


def recipe(model, stage):
    return load_recipe(FOLDER / model / f"{stage}.yaml")


@pytest.mark.parametrize("model", MODELS)
def test_the_published_stages(model):
    """What arXiv 2409.12961 and the reference's scripts say."""
    learns = {
        "vit": ("vision_tower", "projector", "language_model"),
        "align": ("compressor", "projector"),
        "image_sft": ("compressor", "projector", "language_model"),
        "joint_sft": ("compressor", "projector", "language_model"),
    }
    for stage in STAGES:
        found = recipe(model, stage)
        assert set(found.train) == set(learns[stage])
        assert set(found.train) < set(PARTS)
        assert found.batch.row_length == 16384
        assert found.batch.rows * found.batch.gradient_accumulation == 2
        assert (found.optim.schedule, found.optim.warmup_ratio, found.optim.weight_decay) == (
            "cosine",
            0.03,
            0,
        )
        assert found.precision == "bfloat16"
        assert found.gradient_checkpointing
        assert found.data.supervise == "published"
        assert found.save_every == 1000
    for stage in ("image_sft", "joint_sft"):
        assert recipe(model, stage).optim.learning_rate == 2e-5
    assert is_chain(FOLDER / model / "all.yaml")


@pytest.mark.parametrize("model", MODELS)
def test_each_stage_begins_from_the_one_before(model):
    vit, align, image_sft, joint_sft = (recipe(model, stage) for stage in STAGES)
    assert vit.model.assemble.language_model == "Qwen/Qwen2-0.5B"
    assert "siglip-so400m" in vit.model.assemble.vision_tower
    assert align.model.assemble.vision_tower == vit.output
    assert (align.model.assemble.compressor, align.model.assemble.projector) == ("new", "new")
    assert image_sft.model.from_ == align.output
    assert joint_sft.model.from_ == image_sft.output
    assert vit == recipe("oryx_7b", "vit")  # one tower for all of them


def test_the_joint_mixture_names_every_published_data_set():
    sources = recipe("oryx_7b", "joint_sft").data.sources
    titles = " ".join(source.title for source in sources)
    for name in (
        "LLaVA-NeXT",
        "Cauldron",
        "Cambrian-1",
        "VideoChatGPT-Plus",
        "ShareGPT4Video",
        "LLaVA-Hound",
        "Cinepile",
        "NExT-QA",
        "Perception Test",
        "MovieNet",
        "ScanQA",
    ):
        assert name in titles
    weights = [source.weight for source in sources]
    assert (sum(weights[:3]), sum(weights[3:])) == (600, 650)
    assert [source.title for source in sources if not source.licence] == []
    needle = next(source for source in sources if "needle" in source.title)
    assert needle.needle_frames == (192, 256)


@pytest.mark.parametrize("stage", STAGES)
def test_every_source_says_its_format_and_licence(stage):
    for source in recipe("oryx_7b", stage).data.sources:
        assert source.format, source.title
        assert source.licence, source.title
