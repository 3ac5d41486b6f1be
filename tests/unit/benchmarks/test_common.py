"""What every benchmark shares."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def test_results_and_material_lie_where_git_ignores_them(load, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "/runs/" in (REPOSITORY / ".gitignore").read_text().splitlines()
    assert load("common").RESULTS == REPOSITORY / "runs/benchmarks"
    assert load("material").MATERIAL.parent == REPOSITORY / "runs/benchmarks"
