"""Actors of a Ray cluster on this machine: rows of lost actors are given again, and each has one answer."""

import asyncio
import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from oryx.errors import ConfigError
from oryx.serving.batch.cluster import Cluster
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.job import Batch, Outcome, run_batch

TESTS = Path(__file__).parents[3]
pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")

from fake_batch import FakeWorkers, NoWatcher  # noqa: E402

from oryx.serving.batch.cluster import MAX_LOSSES, START_PAUSES, RayWorkers, RowActor  # noqa: E402


class NamedWorkers(FakeWorkers):
    """Say in a folder which process they are.

    A question that begins with "once" ends its process, the first time that it is asked.
    """

    def __init__(self, folder: str, seconds: float = 0.0, start_error: Exception | None = None) -> None:
        super().__init__(4, seconds, start_error)
        self.folder = Path(folder)

    async def start(self) -> None:
        await super().start()
        (self.folder / f"{os.getpid()}.pid").touch()

    async def answer(self, row):
        question = row.content["question"]
        if question.startswith("once") and not (self.folder / "once").exists():
            (self.folder / "once").touch()
            os._exit(1)
        return await super().answer(row)


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """Two workers' worth of a cluster, which finds this module and what it imports."""
    before = os.environ.get("PYTHONPATH")
    paths = [str(TESTS), str(Path(__file__).parent), *sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture
def actors(tmp_path):
    """(seconds, start_error) -> workers on two actors, which name their processes in `tmp_path`."""
    (tmp_path / "actors").mkdir()

    def make(seconds=0.0, start_error=None):
        build = partial(NamedWorkers, str(tmp_path / "actors"), seconds, start_error)
        return RayWorkers(build, 4, Cluster(num_actors=2))

    return make


def processes(tmp_path):
    return {int(path.stem) for path in (tmp_path / "actors").glob("*.pid")}


def answers(workers, *questions):
    rows = [Row(index, index + 1, index, {"question": text}) for index, text in enumerate(questions)]

    async def run():
        try:
            await workers.start()
            return await asyncio.wait_for(asyncio.gather(*map(workers.answer, rows)), 300)
        finally:
            await workers.stop()

    return asyncio.run(run())


def test_a_batch_on_two_actors_of_which_one_is_killed(actors, rows_file, tmp_path):
    rows = [{"id": index, "question": f"question {index}"} for index in range(400)]
    source, out = rows_file(rows), tmp_path / "out.jsonl"
    run_batch(Batch(source, tmp_path / "whole.jsonl", {}), FakeWorkers, NoWatcher())
    workers = actors(seconds=0.03)

    class Killer(NoWatcher):
        num_done = 0

        def advance(self, is_error):
            self.num_done += 1
            if self.num_done == 100:
                self.wait_for(2)
                os.kill(max(processes(tmp_path)), 9)
            if self.num_done == 300:
                self.wait_for(3)  # the lost one is replaced

        def wait_for(self, number):
            deadline = time.monotonic() + 60
            while len(processes(tmp_path)) < number:
                assert time.monotonic() < deadline, "the actor did not come"
                time.sleep(0.01)

    assert run_batch(Batch(source, out, {}), lambda: workers, Killer()) == Outcome(400, 0, 400)
    assert workers.num_lost == 1
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    journal = (tmp_path / "out.jsonl.parts" / "answers.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["row"] for line in journal) == list(range(400))


def test_a_row_that_ends_its_actor_once_is_answered_by_another(actors):
    workers = actors()
    outputs = answers(workers, *["a"] * 6, "once", *["b"] * 6)
    assert [output["answer"] for output in outputs] == [*["A"] * 6, "ONCE", *["B"] * 6]
    assert workers.num_lost == 1


def test_a_row_that_ends_every_actor_is_an_error_and_no_other_row_is(actors):
    workers = actors()
    outputs = answers(workers, *["a"] * 20, "crash", *["b"] * 20)
    assert outputs[20] == {"error": f"{MAX_LOSSES} actors were lost while they answered this row."}
    assert [output.get("answer") for output in outputs if "answer" in output] == [*["A"] * 20, *["B"] * 20]
    assert workers.num_lost == MAX_LOSSES


def test_a_bug_of_a_row_is_its_error(actors):
    assert answers(actors(), "die", "a") == [
        {"error": "RuntimeError: the workers are dead"},
        {
            "answer": "A",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 1, "visual_tokens": 0, "completion_tokens": 1},
        },
    ]


def test_an_actor_whose_engine_has_died_ends(monkeypatch):
    from oryx.serving.engine import EngineStopped

    class Dead(FakeWorkers):
        async def answer(self, row):
            raise EngineStopped("it has died")

    def leave(code):
        raise SystemExit(code)

    async def run():
        actor = RowActor(Dead)
        await actor.start()
        await actor.answer(Row(0, 1, 0, {"question": "a"}))

    monkeypatch.setattr("oryx.serving.batch.cluster.os._exit", leave)
    with pytest.raises(SystemExit, match="1"):
        asyncio.run(run())


def test_a_model_that_no_actor_can_load_is_a_sentence(actors):
    with pytest.raises(ConfigError, match=r"^there is no such model\.$"):
        answers(actors(start_error=ConfigError("there is no such model.")), "a")


@pytest.mark.parametrize("error", [OSError("no such\nfile"), RuntimeError("Engine core failed.")])
def test_another_error_while_an_actor_starts_is_told_at_once(actors, error):
    sentence = " ".join(f"{type(error).__name__}: {error}".split())
    began = time.monotonic()
    with pytest.raises(ConfigError, match=f"^{sentence}$"):
        answers(actors(start_error=error), "a")
    assert time.monotonic() - began < sum(START_PAUSES)


def _of_no_module():
    raise ModuleNotFoundError("No module named 'elsewhere'")


class Unpicklable:
    """Builds workers here, and cannot be read anywhere else."""

    def __reduce__(self):
        return _of_no_module, ()


def test_an_actor_that_cannot_begin_is_told_at_once():
    sentence = r"^an actor cannot begin \(.*No module named 'elsewhere'\)\.$"
    with pytest.raises(ConfigError, match=sentence):
        answers(RayWorkers(Unpicklable(), 4, Cluster(num_actors=1)), "a")


def test_actors_that_need_more_than_there_is_are_refused(tmp_path):
    build = partial(NamedWorkers, str(tmp_path))
    with pytest.raises(ConfigError, match="an actor needs 64 CPU and the cluster has 2; lower --actor-cpus"):
        answers(RayWorkers(build, 4, Cluster(num_cpus=64)), "a")
    with pytest.raises(ConfigError, match="an actor needs 1 GPU and the cluster has 0"):
        answers(RayWorkers(build, 4, Cluster(num_gpus=1)), "a")
