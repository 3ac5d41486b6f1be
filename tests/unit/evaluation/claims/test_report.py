"""Reports of made results: verdicts, tables, pictures, and a page whose other text stays."""

import json

import pytest
from PIL import Image

from oryx.errors import ConfigError
from oryx.evaluation.claims.arms import Measured
from oryx.evaluation.claims.page import BEGIN, END, write_page
from oryx.evaluation.claims.report import ClaimsReport, results_page, save_report
from oryx.evaluation.claims.statements import CLAIMS
from oryx.evaluation.claims.store import ArmResult
from oryx.evaluation.claims.verdicts import FAILS, HOLDS, UNDECIDED

LETTERS = {"native": 0.9, "square": 0.5, "aspect": 0.6, "tiled": 0.7}


def results(letters, seeds=3):
    """Results of the picture arms: their letters vary a little over the seeds, colors are always right."""
    found = {}
    for name, share in letters.items():
        for seed in range(seeds):
            measures = {
                "letter": Measured(share + 0.01 * seed, 400, 80.0, 4100.0, 1 / 16),
                "color": Measured(1.0, 400, 80.0, 4100.0, 0.2),
            }
            found[name, seed] = ArmResult(
                name, seed, {}, measures, "ab" * 32, 778_464, 4.0, 3.5, {"oryx": "1"}
            )
    return found


def make(found, letters="a", skipped=None, quick=False):
    claims = [CLAIMS[letter] for letter in letters]
    return ClaimsReport.of(claims, found, (0, 1, 2), "oryx eval claims", skipped or {}, quick)


def test_verdicts_of_a_claim():
    assert make(results(LETTERS)).findings[0].verdict == HOLDS
    assert make(results({**LETTERS, "tiled": 0.95})).findings[0].verdict == FAILS
    finding = make(results(LETTERS, seeds=1)).findings[0]
    assert finding.verdict == UNDECIDED
    assert {verdict.reason for verdict in finding.comparisons} == {"one seed gives no verdict"}
    assert make({}).findings[0].verdict == "not measured"
    some = {key: value for key, value in results(LETTERS).items() if key[0] != "tiled"}
    finding = make(some).findings[0]
    assert [v and v.verdict for v in finding.comparisons] == [HOLDS, HOLDS, None, HOLDS]
    assert finding.verdict == "not measured"


def test_a_verdict_of_some_seeds_says_so():
    found = results(LETTERS)
    del found["tiled", 2]
    page = results_page(make(found))
    assert "**holds** (4 of 4 comparisons hold; 2 of 3 seeds measured)" in page
    assert make(found).to_dict()["claims"][0]["seeds_measured"] == 2


def test_the_page_says_what_was_measured():
    page = results_page(make(results(LETTERS)), "pictures/")
    assert "12 trainings, 0.8 hours of one core in all" in page
    assert "**holds** (4 of 4 comparisons hold)" in page
    assert "### (a) Native resolution: holds" in page
    assert "arXiv 2409.12961" in page
    assert (
        "| reads more at native resolution than squeezed | +40.0 (+40.0 to +40.0) | +40.0, +40.0, +40.0 |"
        in page
    )
    assert "| native | letter | 91.0% ± 1.0% | 6% | 400 | 80 | 4,100 | 4.0 |" in page
    assert "(pictures/claims-a.png)" in page
    assert "A quick run" not in page
    assert "decides nothing" in results_page(make(results(LETTERS, seeds=1), quick=True))


def test_a_claim_that_was_left_out_says_why():
    page = results_page(make(results(LETTERS), "ag", skipped={"g": "Skipped: there are no rooms."}))
    assert page.count("Skipped: there are no rooms.") == 2
    assert "### (g) Marks in rooms: not measured" in page


def test_files(tmp_path):
    written = save_report(make(results(LETTERS), "ab"), tmp_path)
    assert [path.name for path in written] == ["claims.json", "claims.md", "claims-a.png"]
    content = json.loads((tmp_path / "claims.json").read_text())
    assert [one["verdict"] for one in content["claims"]] == [HOLDS, "not measured"]
    assert content["claims"][0]["comparisons"][2]["mean"] == pytest.approx(0.2)
    assert len(content["arms"]) == 12
    assert content["minutes"] == 48.0
    with Image.open(tmp_path / "claims-a.png") as picture:
        assert picture.width > 500
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0, 114, 178), (230, 159, 0)} <= colors


def test_a_page_keeps_its_own_text(tmp_path):
    page = tmp_path / "docs" / "claims.md"
    page.parent.mkdir()
    page.write_text(f"# Claims\n\nMethod.\n\n{BEGIN}\nearlier ones\n{END}\n\nEnd.\n")
    for _ in range(2):  # writing it again changes nothing
        written = write_page(make(results(LETTERS)), page)
        text = page.read_text()
        assert text.startswith(f"# Claims\n\nMethod.\n\n{BEGIN}\n")
        assert text.endswith(f"{END}\n\nEnd.\n")
        assert "earlier ones" not in text
        assert text.count("### (a)") == 1
    assert {path.name for path in written} == {"claims.md", "claims.json", "claims-a.png"}
    assert (page.parent / "pictures" / "claims-a.png").is_file()


def test_a_page_without_a_place_for_results(tmp_path):
    page = tmp_path / "claims.md"
    page.write_text("# Claims\n")
    with pytest.raises(ConfigError, match="has no place for results"):
        write_page(make(results(LETTERS)), page)
    assert page.read_text() == "# Claims\n"
    with pytest.raises(ConfigError, match="cannot be read"):
        write_page(make(results(LETTERS)), tmp_path / "other.md")
