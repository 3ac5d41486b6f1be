"""A run that is asked to stop ends after its step, with a checkpoint, and goes on to the same bits."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
import torch
from ranks import run_ranks
from rich.console import Console
from safetensors.torch import load_file

from oryx.cli.main import main
from oryx.training.running import train
from oryx.training.stopping import SIGNALS, Stopper, leave_signals
from oryx.training.trainer import OryxTrainer


def handlers() -> list:
    return [signal.getsignal(number) for number in SIGNALS]


def signal_in_step(monkeypatch, step: int, *numbers: int) -> None:
    """The process gets signals in the middle of a step."""
    original = OryxTrainer.compute_loss

    def compute_loss(self, *args, **kwargs):
        if self.state.global_step + 1 == step:
            for number in numbers:
                signal.raise_signal(number)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(OryxTrainer, "compute_loss", compute_loss)


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_leaves_a_checkpoint(recipe_file, tmp_path, silent, monkeypatch, number, error):
    before = handlers()
    whole = train(recipe_file, tmp_path / "whole", console=silent)
    parts = tmp_path / "parts"
    with monkeypatch.context() as context:
        signal_in_step(context, 4, number)
        with pytest.raises(error):
            train(recipe_file, parts, ["num_workers=1", "save_every=100"], console=silent)
    assert [path.name for path in parts.glob("checkpoint-*")] == ["checkpoint-4"]
    assert not (parts / "model.safetensors").exists()
    assert "stopped after 4 of 6 steps; the same command goes on" in silent.file.getvalue()
    assert handlers() == before
    train(recipe_file, parts, console=silent)
    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_a_second_ctrl_c_ends_the_run_at_once(recipe_file, tmp_path, silent, monkeypatch):
    before = handlers()
    signal_in_step(monkeypatch, 4, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe_file, tmp_path / "run", ["save_every=100"], console=silent)
    assert not list((tmp_path / "run").glob("checkpoint-*"))
    assert handlers() == before


def test_a_signal_in_the_last_step_loses_nothing(recipe_file, tmp_path, silent, monkeypatch):
    signal_in_step(monkeypatch, 6, signal.SIGTERM)
    with pytest.raises(SystemExit):
        train(recipe_file, tmp_path / "run", console=silent)
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_the_exit_code_tells_the_signal(recipe_file, tmp_path, monkeypatch, capsys):
    signal_in_step(monkeypatch, 2, signal.SIGTERM)
    assert main(["train", str(recipe_file), "--output", str(tmp_path / "run")]) == 143
    assert "stopped after 2 of 6 steps" in capsys.readouterr().out


def signal_at_the_end(monkeypatch, *numbers: int) -> None:
    """The process gets signals once training is over, before the model is written."""
    original = OryxTrainer.train

    def train_all(self, **kwargs):
        original(self, **kwargs)
        for number in numbers:
            signal.raise_signal(number)

    monkeypatch.setattr(OryxTrainer, "train", train_all)


def signalled_run(recipe: Path, output: Path, changes: list[str], is_late: bool) -> int | str | None:
    """Exit code of a process, of two of which the second gets a signal, twice, as launchers send it."""
    numbers = (signal.SIGTERM, signal.SIGTERM)
    with pytest.MonkeyPatch.context() as context:
        if os.environ["RANK"] == "1":
            signal_at_the_end(context, *numbers) if is_late else signal_in_step(context, 3, *numbers)
        try:
            train(recipe, output, ["save_every=100", *changes], console=Console(file=StringIO()))
        except SystemExit as error:
            return error.code
    return 0


@pytest.mark.parametrize(
    ("changes", "is_late", "step"),
    [([], False, 3), (["optim.max_minutes=1e-9"], True, 1)],
    ids=["in a step", "after the last one"],
)
def test_a_signal_to_one_process_stops_all_of_them(recipe_file, tmp_path, changes, is_late, step):
    codes = run_ranks(2, signalled_run, recipe_file, tmp_path / "run", changes, is_late)
    assert codes == [143, 143]
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == [f"checkpoint-{step}"]
    assert not (tmp_path / "run" / "config.json").exists()


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopper() as stopper:
            signal.raise_signal(signal.SIGINT)
        assert stopper.signal is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_cannot_listen_and_need_not():
    before, found = handlers(), []

    def enter() -> None:
        with Stopper():
            found.append(handlers())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [before]


def send_from_elsewhere(process: int, number: int) -> None:
    """From a process that is neither the run nor its worker, as a cluster does."""
    subprocess.run([sys.executable, "-c", f"import os; os.kill({process}, {number})"], check=True)


def wait_as_worker(began) -> None:
    leave_signals(0)
    began.set()
    time.sleep(60)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the system does not tell who sent a signal")
def test_workers_heed_the_run_alone():
    context = multiprocessing.get_context("fork")
    began = context.Event()
    worker = context.Process(target=wait_as_worker, args=(began,), daemon=True)
    worker.start()
    assert began.wait(60)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        send_from_elsewhere(worker.pid, number)
    worker.join(0.5)
    assert worker.is_alive()
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 128 + signal.SIGTERM


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the system does not tell who sent a signal")
def test_a_signal_to_workers_too_leaves_a_checkpoint(recipe_file, tmp_path, silent, monkeypatch):
    """Clusters send SIGTERM to every process of a job, and launchers once more."""
    original = OryxTrainer.compute_loss

    def compute_loss(self, *args, **kwargs):
        if self.state.global_step + 1 == 3:
            workers = multiprocessing.active_children()
            assert len(workers) == 2
            for _ in range(2):
                for process in (*(worker.pid for worker in workers), os.getpid()):
                    send_from_elsewhere(process, signal.SIGTERM)
            workers[0].join(0.5)  # time enough to end in
        return original(self, *args, **kwargs)

    monkeypatch.setattr(OryxTrainer, "compute_loss", compute_loss)
    with pytest.raises(SystemExit):
        train(recipe_file, tmp_path / "run", ["num_workers=2", "save_every=100"], console=silent)
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-3"]
