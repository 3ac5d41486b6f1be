"""The full-size model: what a run writes it takes away, and nothing else."""

import pytest


@pytest.fixture
def quick(load, monkeypatch):
    """Nothing is measured, and a model is one small file."""
    module = load("full_size")

    def write(folder, preset):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(preset)

    monkeypatch.setattr(module, "write_checkpoint", write)
    monkeypatch.setattr(module, "measure_cases", lambda *_: None)
    monkeypatch.setattr(module, "measure_peak", lambda *_: 1.0)
    return module


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_model_that_was_there_stays_and_so_does_all_beside_it(quick, run, tmp_path):
    work = tmp_path / "work"
    (work / "oryx-7b").mkdir(parents=True)
    (work / "oryx-7b/config.json").write_text("downloaded")
    (work / "logits-of-mine.safetensors").touch()

    run("full_size", "--work", work)

    assert names(work) == ["logits-of-mine.safetensors", "oryx-7b"]
    assert (work / "oryx-7b/config.json").read_text() == "downloaded"


@pytest.mark.parametrize(("more", "left"), [((), []), (("--keep",), ["oryx-7b"])])
def test_a_model_that_was_written_goes_unless_it_is_kept(quick, run, tmp_path, more, left):
    run("full_size", "--work", tmp_path / "work", *more)
    assert names(tmp_path / "work") == left


def test_writing_that_is_cut_leaves_nothing(quick, run, monkeypatch, tmp_path):
    def cut(folder, preset):
        folder.mkdir(parents=True)
        (folder / "model-00001.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(quick, "write_checkpoint", cut)
    with pytest.raises(KeyboardInterrupt):
        run("full_size", "--work", tmp_path / "work")
    assert names(tmp_path / "work") == []
