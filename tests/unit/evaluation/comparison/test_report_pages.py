"""Folders become runs, runs a page; what is no results folder is told in a sentence."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from oryx.errors import ConfigError
from oryx.evaluation.comparison.build import build_page
from oryx.evaluation.comparison.html_page import to_html
from oryx.evaluation.comparison.markdown import to_markdown
from oryx.evaluation.comparison.write import check_report, read_runs, write_report

RIGHT, HALF = [1.0] * 40, [1.0, 0.0] * 20


class Checker(HTMLParser):
    """Keeps elements and text; every element that is opened must be closed, in its order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read_html(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def test_blank_answers_that_nobody_counted_are_not_told_as_none(needle):
    (run,) = read_runs([needle("old", {"nano": [1, 1, 0, 0]})])
    assert run.num_unparsed is None
    assert "| - |" in to_markdown(build_page([run]), "pictures")


def test_one_run(skills, tmp_path):
    paths = write_report(read_runs([skills("a", HALF)]), tmp_path / "out")
    markdown, html = (path.read_text() for path in paths)
    assert "| **A** | **nano** | Skills |" in markdown
    assert "| color | 50.0% | 40.0 to 60.0 | 40 |" in markdown
    assert "![Right answers with their 95% intervals](pictures/skills.svg)" in markdown
    assert r"\`x\`" in markdown
    assert "<b>" not in markdown
    page = read_html(html)
    assert "script" not in page.seen
    assert "b" not in page.seen  # an answer is text, whatever it holds
    assert "<b>blue</b>|`x`" in "".join(page.texts)
    addresses = [value for name, value in page.attributes if name in ("href", "src")]
    assert all(value.startswith("#") for value in addresses)
    assert "@media (prefers-color-scheme: dark)" in html
    assert 'name="viewport"' in html


def test_two_runs_side_by_side(skills, tmp_path):
    one, two = skills("a", RIGHT), skills("b", HALF, compression=4, model_sha256="cd" * 32)
    page = build_page(read_runs([one, two]))
    markdown = to_markdown(page, "pictures")
    (line,) = (line for line in markdown.splitlines() if "B worse" in line)
    assert line.startswith("| color | 100.0% | 50.0% | -50.0 | -6")
    assert "The questions are the same, so differences are of pairs. 1 of 1 difference told apart" in markdown
    assert "| `weights` | `abababababababababababab` | `cdcdcdcdcdcdcdcdcdcdcdcd` |" in markdown
    assert "Some questions that only one of the two gets right" in markdown
    read_html(to_html(page))


def test_three_runs_are_compared_with_the_first(skills):
    runs = read_runs([skills(name, HALF, answers=name != "c") for name in "abc"])
    markdown = to_markdown(build_page(runs), "pictures")
    assert "### **B** against **A**" in markdown
    assert "### **C** against **A**" in markdown
    assert "not known to be the same" in markdown
    assert "**C**: its answers are not kept beside it" in markdown
    assert "the same, weights and versions too." in markdown
    assert "A nano: a" in markdown  # the names of the models do not tell them apart


def test_dials_within_a_run_are_groups_of_their_own(skills):
    folder = skills("a", HALF, answers=False)
    content = json.loads((folder / "skills.json").read_text())
    content["results"].append({**content["results"][0], "compression": 16})
    (folder / "skills.json").write_text(json.dumps(content))
    markdown = to_markdown(build_page(read_runs([folder])), "pictures")
    assert "| default dial | color |" in markdown
    assert "| 16x | color |" in markdown


def test_two_models_of_one_needle_folder(needle, tmp_path):
    folder = needle("n", {"nano": [1, 1, 1, 0], "plain": [0, 0, 0, 0]})
    runs = read_runs([folder])
    assert [(run.model, run.rows[0].value) for run in runs] == [("nano", 0.75), ("plain", 0.0)]
    paths = write_report(runs, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out" / "pictures").iterdir()}
    assert names == {"needle.svg", "needle-A.svg", "needle-B.svg"}
    for name in names:
        picture = ET.parse(tmp_path / "out" / "pictures" / name)
        assert picture.getroot().tag == "{http://www.w3.org/2000/svg}svg"
    shares = ET.parse(tmp_path / "out" / "pictures" / "needle-A.svg").getroot().itertext()
    assert [text for text in shares if text.strip().isdigit()] == ["100", "50", "100"]
    assert "-75.0" in paths[0].read_text()


def test_questions_about_scanned_rooms(scanqa, tmp_path):
    one, two = scanqa("a", [1, 1] * 10), scanqa("b", [1, 0] * 10, records_sha256="01" * 32)
    runs = read_runs([one, two])
    assert [run.task for run in runs] == ["scanqa", "scanqa"]
    assert [(row.group, row.label) for row in runs[0].rows if row.is_main and row.is_share] == [
        ("all questions", "EM"),
        ("all questions", "EM, cleaned"),
        ("all questions", "EM-R"),
    ]
    markdown = write_report(runs, tmp_path / "out")[0].read_text()
    assert "| **A** | **nano** | ScanQA |" in markdown
    (line,) = (line for line in markdown.splitlines() if line.startswith("| all questions: EM-R"))
    assert line.startswith("| all questions: EM-R | 100.0% | 50.0% | -50.0 | ")
    assert "**B worse**" in line
    assert "| place | EM | 100.0% |" in markdown
    assert "| all questions, ScanQA's script: CIDEr | 75 | 37.5 | -37.5 |" in markdown
    assert "METEOR" not in markdown
    assert "some caption metrics need Java" in markdown
    assert "| `records` | `efefefefefef` | `010101010101` |" in markdown
    assert "left | on the left".replace("|", r"\|") in markdown
    (one / "scanqa.answers.jsonl").unlink()
    assert "not kept beside it" in to_markdown(build_page(read_runs([one])), "pictures")


def test_lmms_eval_beside_our_own(lmms, skills):
    runs = read_runs([lmms("x", 0.5, 0.1), lmms("y", 0.9, 0.1), skills("a", HALF)])
    assert [run.task for run in runs] == ["lmms-eval", "lmms-eval", "skills"]
    (accuracy, wer) = runs[0].rows
    assert (accuracy.value, accuracy.count) == (0.5, 7)
    assert accuracy.interval == pytest.approx((0.5 - 0.196, 0.5 + 0.196), abs=1e-3)
    assert (wer.label, wer.interval, wer.higher_is_better) == ("wer (flexible)", None, False)
    markdown = to_markdown(build_page(runs), "pictures")
    assert "| ocrbench: accuracy | 0.5 | 0.9 | +0.4 | +0.1228 to +0.6772 | **B better** |" in markdown
    assert "| ocrbench: wer (flexible) | 3.5 | 3.5 | +0 | - | - |" in markdown
    assert "`model_args`" in markdown


def test_folders_that_are_none(skills, tmp_path):
    good = skills("a", HALF)
    with pytest.raises(ConfigError, match=r"is no folder; a results folder"):
        read_runs([good, tmp_path / "nothing"])
    with pytest.raises(ConfigError, match="named twice"):
        read_runs([good, tmp_path / "." / "a"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no results; of oryx eval these are skills\.json"):
        read_runs([tmp_path / "empty"])
    (tmp_path / "empty" / "claims.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"holds results of claims, whose own page is claims\.md there"):
        read_runs([tmp_path / "empty"])


@pytest.mark.parametrize("text", ["", "[]", '{"results": 3}', "[" * 100_000])
def test_results_that_cannot_be_read(skills, text):
    folder = skills("a", HALF)
    (folder / "skills.json").write_text(text)
    with pytest.raises(ConfigError, match="cannot be read as results"):
        read_runs([folder])


def test_an_answer_that_is_there_twice(skills):
    folder = skills("a", HALF)
    path = folder / "skills.answers.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[3] + "\n")
    with pytest.raises(ConfigError, match="holds the answer to color, 3 twice"):
        read_runs([folder])
    path.write_text("words\n")
    with pytest.raises(ConfigError, match="cannot be read as answers"):
        read_runs([folder])


def test_other_reports_are_not_overwritten(skills, tmp_path):
    runs = read_runs([skills("a", HALF)])
    write_report(runs, tmp_path / "out")
    write_report(runs, tmp_path / "out")  # our own may be made anew
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.html").write_text("mine")
    with pytest.raises(ConfigError, match="a report of something else"):
        check_report(tmp_path / "other")
    assert (tmp_path / "other" / "report.html").read_text() == "mine"
    (tmp_path / "out" / "report.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"out/report\.html is a report of something else"):
        write_report(runs, tmp_path / "out")
    (tmp_path / "drawn" / "pictures").mkdir(parents=True)
    picture = tmp_path / "drawn" / "pictures" / build_page(runs).pictures[0].name
    picture.write_text("mine")
    with pytest.raises(ConfigError, match="is a picture of something else"):
        write_report(runs, tmp_path / "drawn")
    assert picture.read_text() == "mine"
    assert not (tmp_path / "drawn" / "report.md").exists()


def test_models_behind_two_ports_are_not_the_same(skills, tmp_path):
    served = {"model_sha256": None, "num_parameters": None, "dtype": None, "device": None}
    urls = [f"http://127.0.0.1:{port}/v1" for port in (8000, 8001)]
    folders = [skills(url[-7:-3], HALF, **served, endpoint=url) for url in urls]
    write_report(read_runs(folders), tmp_path / "out")
    row = next(
        line
        for line in (tmp_path / "out" / "report.md").read_text().splitlines()
        if line.startswith("| `weights`")
    )
    assert all(url in row for url in urls)


def test_names_are_no_markup(skills):
    runs = read_runs([skills("a", HALF, model='<script>"x"</script>*|`')])
    page = build_page(runs)
    assert "script" not in read_html(to_html(page)).seen
    markdown = to_markdown(page, "pictures")
    assert "<script" not in markdown
    cells = next(line for line in markdown.splitlines() if line.startswith("| **A**"))
    assert len(re.findall(r"(?<!\\)\|", cells)) == 6
