"""The recipe or the launcher chooses the strategy; contradictions and missing packages are one sentence."""

import json
from pathlib import Path

import pytest
import yaml

from oryx.errors import ConfigError
from oryx.training import strategy
from oryx.training.sections.parallel import ParallelSection
from oryx.training.strategy import settle

PARALLEL = Path(__file__).parents[3] / "recipes" / "parallel"
FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    strategy._from_launcher.cache_clear()
    yield
    strategy._from_launcher.cache_clear()


@pytest.fixture
def set_environment(monkeypatch):
    def set_all(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.mark.parametrize(
    ("chosen", "processes", "expected"),
    [("auto", 2, "ddp"), ("ddp", 2, "ddp"), ("fsdp2", 2, "fsdp2"), ("fsdp2", 1, "ddp"), ("auto", 1, "ddp")],
)
def test_the_recipe_chooses(chosen, processes, expected):
    assert settle(ParallelSection(strategy=chosen), processes).strategy == expected


def test_accelerate_s_choice_is_taken_over(set_environment, monkeypatch):
    set_environment(**FSDP2, FSDP_RESHARD_AFTER_FORWARD="false", FSDP_OFFLOAD_PARAMS="true")
    section = settle(ParallelSection(), 2)
    assert section == ParallelSection(strategy="fsdp2", reshard_after_forward=False, cpu_offload=True)
    assert "ACCELERATE_USE_FSDP" not in __import__("os").environ  # or accelerate would shard once more


@pytest.mark.parametrize("name", ["auto", "fsdp2"])
def test_a_recipe_that_needs_host_memory_gets_it(set_environment, name):
    set_environment(**FSDP2, FSDP_OFFLOAD_PARAMS="false")
    assert settle(ParallelSection(strategy=name, cpu_offload=True), 2).cpu_offload


def test_every_part_of_a_chain_is_shared_out_as_the_first(set_environment):
    set_environment(**FSDP2)
    assert [settle(ParallelSection(), 2).strategy for _ in range(3)] == ["fsdp2"] * 3


def test_what_the_recipe_says_about_sharding_stays(set_environment):
    set_environment(**FSDP2, FSDP_RESHARD_AFTER_FORWARD="true")
    section = ParallelSection(strategy="fsdp2", reshard_after_forward=False)
    assert settle(section, 2) == section


@pytest.mark.parametrize(
    ("environment", "section", "said"),
    [
        (FSDP2, {"strategy": "ddp"}, "parallel.strategy is ddp, but accelerate was configured for fsdp2"),
        ({"ACCELERATE_USE_FSDP": "true"}, {}, "configured for FSDP1, which is outdated; set fsdp_version: 2"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, {}, "DeepSpeed without a file of its own; name one"),
        (
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": "nowhere.json"},
            {},
            "parallel.deepspeed_config: nowhere.json does not exist",
        ),
        ({}, {"strategy": "deepspeed", "deepspeed_config": "nowhere.json"}, "nowhere.json does not exist"),
    ],
)
def test_what_cannot_be_is_one_sentence(set_environment, environment, section, said):
    set_environment(**environment)
    with pytest.raises(ConfigError) as error:
        settle(ParallelSection(**section), 2)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_deepspeed_is_one_sentence(monkeypatch):
    monkeypatch.setattr("oryx.training.strategy.find_spec", lambda name: None)
    section = ParallelSection(strategy="deepspeed", deepspeed_config=str(PARALLEL / "zero3.json"))
    with pytest.raises(ConfigError, match=r"needs the package deepspeed.*fsdp2 shards as well"):
        settle(section, 2)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"strategy": "deepspeed"}, "deepspeed_config is missing"),
        ({"deepspeed_config": "x.json"}, "deepspeed_config is set, but strategy is auto"),
        (
            {"strategy": "deepspeed", "deepspeed_config": "x.json", "cpu_offload": True},
            "cpu_offload is set, but strategy is deepspeed, whose file says what it offloads",
        ),
    ],
)
def test_half_a_section_is_refused(section, said):
    with pytest.raises(ConfigError, match=said):
        ParallelSection(**section)


def test_the_zero_configuration_is_one_that_accelerate_reads():
    """As far as that can be told without DeepSpeed."""
    deepspeed = pytest.importorskip("accelerate.utils.deepspeed")
    config = deepspeed.HfDeepSpeedConfig(str(PARALLEL / "zero3.json"))
    assert config.is_zero3()
    assert config.get_value("zero_optimization.stage3_gather_16bit_weights_on_model_save") is True
    # What the trainer knows is left to it, so that the two cannot contradict each other.
    for key in (
        "gradient_accumulation_steps",
        "gradient_clipping",
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "bf16.enabled",
    ):
        assert config.get_value(key) == "auto"
    assert not {"optimizer", "scheduler"} & json.loads((PARALLEL / "zero3.json").read_text()).keys()


@pytest.mark.parametrize("name", ["accelerate_fsdp2.yaml", "accelerate_zero3.yaml"])
def test_accelerate_reads_its_configurations(name):
    config = pytest.importorskip("accelerate.commands.config.config_args")
    path = PARALLEL / name
    loaded = config.load_config_from_file(str(path))
    assert loaded.distributed_type in ("FSDP", "DEEPSPEED")
    assert loaded.num_processes == 8
    settings = yaml.safe_load(path.read_text())
    if loaded.distributed_type == "FSDP":
        assert settings["fsdp_config"]["fsdp_version"] == 2
    else:
        assert (PARALLEL.parents[1] / settings["deepspeed_config"]["deepspeed_config_file"]).is_file()
