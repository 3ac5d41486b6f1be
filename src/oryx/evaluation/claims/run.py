"""Runs arms in processes of their own, those that others go on from first; every result is kept at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from oryx.errors import OryxError
from oryx.evaluation.claims.arms import NANO, ROOM_MATERIALS, Arm
from oryx.evaluation.claims.store import ArmResult, Store
from oryx.evaluation.output import hash_weights, installed_versions
from oryx.loading import resolve_folder
from oryx.training.curves import read_curve

Job = tuple[str, int]
"""(arm, seed)."""


@dataclass(frozen=True)
class Progress:
    """What is told before the first arm and after each."""

    result: ArmResult | None
    """Of the arm that has just ended."""
    num_done: int
    num_jobs: int
    """Arms and seeds of this run; those that are measured already do not count."""
    seconds_left: float | None
    """None while no arm has ended, in this run or an earlier one."""


def pending(store: Store, names: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """Arms and seeds that are to be run, seed by seed, and whose turn comes after those that they go on from.

    Raises:
        ConfigError: the folder holds results of other settings.
    """
    done = store.read_all(names, seeds)
    jobs: list[Job] = []
    for seed in seeds:
        missing = [name for name in names if (name, seed) not in done]
        needed = {need for name in missing for need in store.arms[name].needs}
        # One that is measured, but whose weights are gone, is trained once more for those that need them.
        gone = [name for name in needed if not _has_weights(store, name, seed)]
        jobs += [(name, seed) for name in names if name in missing or name in gone]
    return jobs


def run_arms(
    store: Store,
    names: Sequence[str],
    seeds: Sequence[int],
    jobs: int = 1,
    rooms: str | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> None:
    """Run all that is not measured yet, `jobs` arms side by side with one thread each.

    Args:
        report: called at the start, unless nothing is to be run, and after each arm.

    Raises:
        ConfigError: the folder holds results of other settings; nothing was run.
        OryxError: an arm failed. What was measured by then is kept.
    """
    waiting = pending(store, names, seeds)
    total, cost_left = len(waiting), sum(_cost(store.arms[name]) for name, _ in waiting)
    began, cost_done = time.monotonic(), 0.0
    running: dict[Future[ArmResult], Job] = {}
    unfinished = set(waiting)
    if not waiting:
        return
    kept = store.read_all(names, seeds)
    cost_kept = sum(_cost(store.arms[name]) for name, _ in kept)
    seconds_kept = 60 * sum(result.minutes for result in kept.values())
    left = seconds_kept / cost_kept * cost_left / min(jobs, total) if kept else None
    report(Progress(None, 0, total, left))
    # Not forked: a process with threads must not be copied.
    pool = ProcessPoolExecutor(
        min(jobs, total), mp_context=get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
    )
    try:
        while unfinished:
            for job in list(waiting):
                needs = {(need, job[1]) for need in store.arms[job[0]].needs}
                if len(running) < jobs and not needs & unfinished:
                    waiting.remove(job)
                    running[pool.submit(run_arm, store, *job, rooms)] = job
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                unfinished.discard(job)
                result = future.result()
                cost_done += _cost(store.arms[job[0]])
                rate = (time.monotonic() - began) / cost_done
                left = rate * (cost_left - cost_done)
                report(Progress(result, total - len(unfinished), total, left))
    except BrokenProcessPool:
        raise OryxError(
            "an arm's process ended at once, most likely for lack of memory; use fewer --jobs. What was "
            "measured by then is kept."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def end_with(parent: int) -> None:
    """Ask this process to end once its parent has: a training saves first, and does not go on unseen."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        while True:  # the first one may only end a training, which saves
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    threading.Thread(target=watch, daemon=True).start()


def run_arm(store: Store, name: str, seed: int, rooms: str | None = None) -> ArmResult:
    """Train and measure one arm of one seed in this process, and keep the result."""
    import torch

    from oryx.evaluation.claims.classifier import measure_classifier, train_classifier
    from oryx.evaluation.claims.measuring import measure_arm
    from oryx.evaluation.claims.training import train_arm

    torch.set_num_threads(1)
    arm, began = store.arms[name], time.perf_counter()
    folder = store.training_folder(name, seed)
    folders = {need: store.training_folder(need, seed) for need in arm.needs}
    store.begin(name, seed)
    minutes_before = read_curve(folder / "log.jsonl").minutes  # of a training that was cut
    with _quiet():
        if arm.classifies:
            classifier, model = train_classifier(arm, seed, folder)
            trained = time.perf_counter()
            measures = measure_classifier(arm, classifier, seed)
        else:
            model, processor = train_arm(arm, seed, folder, folders, rooms)
            trained = time.perf_counter()
            measures = measure_arm(arm, model, processor, seed, rooms)
    result = ArmResult(
        arm=name,
        seed=seed,
        settings=store.settings(name, seed),
        measures=measures,
        model_sha256=hash_model(model),
        num_parameters=sum(weight.numel() for weight in model.parameters()),
        minutes=round(minutes_before + (time.perf_counter() - began) / 60, 2),
        training_minutes=round(minutes_before + (trained - began) / 60, 2),
        versions=installed_versions(),
        inputs=_inputs(arm, rooms),
    )
    store.write(result)
    # Only the weights are gone on from.
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint, ignore_errors=True)
    return result


def hash_model(model: Any) -> str:
    """SHA-256 of all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def _inputs(arm: Arm, rooms: str | None) -> dict[str, str]:
    found = {NANO: hash_weights(resolve_folder(NANO))} if arm.start == NANO else {}
    if arm.material in ROOM_MATERIALS:
        files = [Path(str(rooms)) / part / "settings.json" for part in ("train", "test")]
        found["rooms"] = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return found


def _has_weights(store: Store, name: str, seed: int) -> bool:
    return (store.training_folder(name, seed) / "model.safetensors").is_file()


def _cost(arm: Arm) -> float:
    """Positions that are trained on: about what an arm takes."""
    return float(arm.steps * arm.row_length * arm.rows)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars and hints of libraries: many arms share one terminal."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
