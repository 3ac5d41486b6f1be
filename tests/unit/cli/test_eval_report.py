"""`oryx eval report` on what `oryx eval` just wrote."""

import pytest
from made_rooms import random_room, write_rooms


def test_real_results_become_a_page(run, tiny, tmp_path):
    rooms = write_rooms(tmp_path / "made", [random_room(0)])
    small = ("--size", "16x16", "--mark-size", 9, "--questions-per-room", 2, "--compression", 16)
    words = ("eval", "rooms", "--folder", rooms, "--model", tiny, "--rooms", 1, "--views", 2, *small)
    skills = ("eval", "skills", "--model", tiny, "--samples", 2, "--test", "color", "--max-pixels", 1024)
    assert run(*words, "--output", tmp_path / "rooms").code == 0
    for name, dial in (("one", 1), ("two", 4)):
        assert run(*skills, "--compression", dial, "--output", tmp_path / name).code == 0
    folders = [tmp_path / name for name in ("rooms", "one", "two")]
    result = run("eval", "report", *folders, "--output", tmp_path / "out")
    assert result.code == 0, result.err
    assert "report.html" in result.err
    text = (tmp_path / "out" / "report.md").read_text()
    assert "### **C** against **B**" in text
    assert "The questions are the same" in text
    assert "| `--compression` | `1` | `4` |" in text
    assert "views with marks" in text


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder(refused, tmp_path, name):
    (tmp_path / "file").write_text("")
    assert "is no folder" in refused("eval", "report", tmp_path / name, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_folders(run):
    assert run("eval", "report").code == 2
