"""Runs where lmms-eval is installed, in an environment of its own: see docs/evaluation.md."""

import pytest

pytest.importorskip("lmms_eval")

from lmms_plugin.asker import Asker, letter_model
from lmms_plugin.fake_judge import fake_judge
from lmms_plugin.harness import Harness, names
from lmms_plugin.made_free import make_free, make_needle
from lmms_plugin.made_images import make_image_choices
from lmms_plugin.made_judged import make_judged
from lmms_plugin.made_videos import make_video_choices

from oryx.evaluation.lmms.needle import write_needle_task


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    """lmms-eval's command, offline, with an `HF_HOME` of its own."""
    return Harness(tmp_path_factory.mktemp("harness"))


@pytest.fixture(scope="session")
def nano():
    return Asker("nano")


@pytest.fixture(scope="session")
def letters(tmp_path_factory):
    """nano, whose every token is A, B or C."""
    return Asker(str(letter_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="session")
def choices(harness, letters):
    """Multiple-choice benchmarks: (what was made, what lmms-eval made of it)."""
    made = [*make_video_choices(harness, letters), *make_image_choices(harness, letters)]
    return made, harness.run(names(made), f"model={letters.name}", "--gen_kwargs", "max_new_tokens=1")


@pytest.fixture(scope="session")
def free(harness, nano):
    """Benchmarks with free answers: (what was made, what lmms-eval made of it)."""
    made = make_free(harness, nano)
    return made, harness.run(names(made), "model=nano")


@pytest.fixture(scope="session")
def needle(harness, nano):
    """Needles in haystacks: (what was made, what lmms-eval made of it)."""
    made, folder = make_needle(harness, nano)
    include = write_needle_task(folder)
    return made, harness.run("oryx_needle", "model=nano,max_frames=4", "--include_path", str(include))


@pytest.fixture(scope="session")
def judged(harness, nano):
    """Benchmarks that a model judges: (what was made, what lmms-eval made of it, what the judge heard)."""
    made = make_judged(harness, nano)
    with fake_judge() as judge:
        run = harness.run(names(made), "model=nano,max_frames=8", judge=judge.url)
        return made, run, judge
