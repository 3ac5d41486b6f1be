"""Reports: what they record, what the tables say, and that no one else's results are overwritten."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import oryx
from oryx.errors import ConfigError
from oryx.evaluation.output import model_facts
from oryx.evaluation.skills import report as reports
from oryx.evaluation.skills.card import check_card, is_nano, make_card, write_card
from oryx.evaluation.skills.evaluate import SkillResult, WrongAnswer

from ..conftest import TINY

HASHES = {"model_sha256": "ab" * 32, "config_sha256": "ef" * 32}
RESULT = SkillResult(
    test="color",
    accuracy=0.954,
    interval=(0.932, 0.969),
    same_answer=0.124,
    num_samples=500,
    num_right=477,
    token_f1=0.954,
    visual_tokens=81.25,
    seconds=2.0,
    seed=10_000_000,
    compression=None,
    detail=None,
    max_pixels=None,
    wrong=[WrongAnswer(7, "What color is the object?", "red", "orange")],
)


def test_table_names_the_dial():
    turned = [
        {},
        {"compression": 4, "max_pixels": 4096},
        {"detail": "low"},
        {"compression": 1, "detail": "low"},
    ]
    table = reports.results_table([replace(RESULT, **dials) for dials in turned])
    assert table.splitlines()[2:] == [
        f"| color | {dials} | 95.4% | 93.2% to 96.9% | 12.4% | 95.4% | 500 | 81.2 |"
        for dials in ("default | -", "4x | 4096", "low | -", "1x, low | -")
    ]


def test_report_of_a_real_model():
    model, _ = oryx.load(TINY, dtype="float32", device="cpu")
    report = reports.make_report(model_facts("tiny", HASHES, model), model, [RESULT], "oryx eval skills")
    assert report.model_sha256 == "ab" * 32
    assert report.num_parameters == model.num_parameters() == sum(report.parameters.values())
    assert list(report.parameters) == [part for part, _ in model.named_children()]
    assert (report.dtype, report.device, report.seed, report.samples) == ("float32", "cpu", 10_000_000, 500)
    assert {"oryx", "python", "torch", "transformers"} <= set(report.versions)


def test_saved_report_reads_back(tmp_path, make_report):
    paths = reports.save_report(make_report([RESULT]), tmp_path / "out")
    assert [path.name for path in paths] == [*reports.FILES]
    saved = json.loads(paths[0].read_text())
    assert saved["task"] == "skills"
    assert saved["results"][0]["accuracy"] == 0.954
    assert saved["results"][0]["wrong"][0]["answer"] == "orange"
    page = paths[1].read_text()
    assert "What color is the object? 'red', not 'orange'" in page
    assert "ab" * 32 in page
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*reports.FILES}


def test_same_model_may_measure_again(tmp_path, make_report):
    reports.save_report(make_report([RESULT]), tmp_path)
    reports.save_report(make_report([replace(RESULT, test="shape")]), tmp_path)
    assert json.loads((tmp_path / "skills.json").read_text())["results"][0]["test"] == "shape"


def test_results_of_other_settings_are_kept(tmp_path, make_report):
    reports.save_report(make_report([RESULT], command="oryx eval skills --samples 500"), tmp_path)
    before = (tmp_path / "skills.json").read_bytes()
    with pytest.raises(ConfigError, match=r"of other settings \(--samples 500, not 5\); choose another"):
        reports.save_report(make_report([RESULT], command="oryx eval skills --samples 5"), tmp_path)
    assert (tmp_path / "skills.json").read_bytes() == before


def test_results_of_another_model_are_kept(tmp_path, make_report):
    reports.save_report(make_report([RESULT]), tmp_path)
    before = (tmp_path / "skills.json").read_bytes()
    with pytest.raises(ConfigError, match="another model"):
        reports.save_report(make_report([RESULT], model_sha256="cd" * 32), tmp_path)
    assert (tmp_path / "skills.json").read_bytes() == before


def test_unreadable_results_are_kept(tmp_path, make_report):
    (tmp_path / "skills.json").write_text("[1]")
    with pytest.raises(ConfigError, match="cannot be read as results"):
        reports.save_report(make_report([RESULT]), tmp_path)
    assert (tmp_path / "skills.json").read_text() == "[1]"


def test_output_must_be_a_folder(tmp_path, make_report):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        reports.save_report(make_report([RESULT]), file)


def test_card_has_the_numbers_of_the_report(tmp_path, make_report):
    sweep = replace(RESULT, compression=16, accuracy=0.5)
    path = write_card(make_report([RESULT, sweep]), tmp_path / "nano")
    card = path.read_text()
    assert path == tmp_path / "nano" / "README.md"
    assert card.startswith("---\nlicense: mit\n")
    assert "unless the test says otherwise" in card  # video_describe gives a share
    for text in ("1,234,567", "| vision tower | 1,000,000 |", "`oryx eval skills`", "ab" * 32, "Lato"):
        assert text in card
    default, dial = card.split("The dial, on the same samples:")
    assert "| color | default | - | 95.4% | 93.2% to 96.9% |" in default
    assert "| color | 16x | - | 50.0% |" in dial
    assert "$" not in card


def test_card_may_have_no_sweep_and_a_name_of_its_own(tmp_path, make_report):
    path = write_card(make_report([RESULT]), tmp_path / "card.md")
    assert path == tmp_path / "card.md"
    assert "The dial" not in path.read_text()


def test_pages_of_other_evaluations_end_the_card(tmp_path, make_report):
    for name, text in (("needle.md", "# Needles\n\n## nano\n\n97% of $5\n"), ("CREDITS.md", "# Credits\n")):
        (tmp_path / name).write_text(text)
    card = make_card(make_report([RESULT]), [tmp_path / "needle.md", tmp_path / "CREDITS.md"])
    assert card.endswith("\n## Needles\n\n### nano\n\n97% of $5\n\n## Credits\n")
    for name in ("train", "test"):
        (tmp_path / f"{name}.md").write_text(f"# Furniture\n\n## {name}\n\nAn Author\n")
    card = make_card(make_report([RESULT]), [tmp_path / "train.md", tmp_path / "test.md"])
    assert card.endswith("\n## Furniture\n\n### train\n\nAn Author\n\n### test\n\nAn Author\n")
    (tmp_path / "bytes.md").write_bytes(b"\xff")
    for name, reason in (("none.md", "No such file"), ("bytes.md", "it is no UTF-8 text")):
        with pytest.raises(ConfigError, match=f"{name} cannot be read as a page of the card .{reason}"):
            check_card(tmp_path / "card", "nano", [(None, None, None)], [tmp_path / name])


@pytest.mark.parametrize("name", ["nano", str(Path(oryx.__file__).parent / "assets/nano")])
def test_the_card_of_nano_says_what_made_it(make_report, name):
    assert is_nano(name)
    card = make_card(make_report([RESULT], model=name))
    assert "trained from random weights" in card
    assert "recipes/nano" in card
    assert "apple, " in card
    assert "<!--" not in card


@pytest.mark.parametrize("name", ["THUdyh/Oryx-7B", "runs/nano/05", "runs/mine", "my/nano", "."])
def test_the_card_of_another_model_claims_nothing_of_nano(make_report, name):
    card = make_card(make_report([RESULT], model=name))
    for claim in ("random weights", "recipes/nano", "What it was trained on", "Limits", "license", "<!--"):
        assert claim not in card
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "| color | default | - | 95.4% |" in card
    assert "## What it can do" in card


def test_a_card_is_checked_before_the_results_are_there(tmp_path):
    check_card(tmp_path / "card", "nano", [(4, None, None), (None, None, None)])
    with pytest.raises(ConfigError, match="default dial"):
        check_card(tmp_path / "card", "nano", [(4, None, None), (None, 512, None), (None, None, "low")])
    (tmp_path / "README.md").mkdir()
    with pytest.raises(ConfigError, match="a folder has this name"):
        check_card(tmp_path, "nano", [(None, None, None)])


def test_a_readme_of_something_else_is_no_card(tmp_path, make_report):
    path = tmp_path / "README.md"
    path.write_text("# My project\n")
    with pytest.raises(ConfigError, match="is no card of a model; choose another --card"):
        check_card(tmp_path, "nano", [(None, None, None)])
    with pytest.raises(ConfigError, match="is no card of a model"):
        write_card(make_report([RESULT]), tmp_path)
    assert path.read_text() == "# My project\n"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is no card of a model"):
        check_card(tmp_path, "nano", [(None, None, None)])


@pytest.mark.parametrize("name", ["nano", "runs/mine"])
def test_a_card_may_be_written_over(tmp_path, make_report, name):
    for accuracy in (0.5, 0.75):
        path = write_card(make_report([replace(RESULT, accuracy=accuracy)], model=name), tmp_path)
    assert "| 75.0% |" in path.read_text()


def test_no_section_of_a_card_is_lost(tmp_path, make_report):
    dials = [(None, None, None)]
    page = tmp_path / "rooms.md"
    page.write_text("# Rooms: nano\n")
    card = write_card(make_report([RESULT], model="nano"), tmp_path / "card.md", [page])
    before = card.read_text()
    with pytest.raises(ConfigError, match=r"would not have \(Rooms\): give pages that have them"):
        check_card(card, "nano", dials)
    with pytest.raises(ConfigError, match=r"would not have \(Rooms\)"):
        write_card(make_report([RESULT], model="nano"), card)
    with pytest.raises(ConfigError, match=r"\(What it was trained on, Limits\)"):
        check_card(card, "runs/mine", dials, [page])
    assert card.read_text() == before
    page.write_text("# Rooms: nano of today\n")
    check_card(card, "nano", dials, [page])
    write_card(make_report([RESULT], model="nano"), card, [page])
    assert card.read_text().endswith("\n## Rooms: nano of today\n")


def test_shipped_card_is_not_written_over_without_its_pages():
    with pytest.raises(ConfigError, match="Credits of the furniture"):
        check_card(Path(oryx.__file__).parent / "assets/nano", "nano", [(None, None, None)])


def test_card_needs_results_at_the_default_dial(make_report):
    with pytest.raises(ConfigError, match="default dial"):
        make_card(make_report([replace(RESULT, compression=4)]))
