"""Rows answered by actors of a Ray cluster, each with an engine and encoding workers of its own.

The rows are handed out, and their answers journaled, by the one process that runs the batch. An actor that is
lost is replaced, and its rows are given to others; what it might still have answered is not looked at.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from oryx.errors import ConfigError, OryxError
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.running import Workers
from oryx.serving.engine import EngineStopped

MAX_LOSSES = 3
"""Actors that may be lost while they answer a row, which then has an error."""
START_PAUSES = (1, 5, 15, 30)
"""Seconds before an actor that was lost while it loaded the model is tried again."""


@dataclass(frozen=True)
class Cluster:
    """How a Ray cluster is used."""

    address: str | None = None
    """Of its head, or "auto"; None for one that lives as long as this run, on this machine."""
    num_actors: int | None = None
    """Each with an engine of its own; None for one for each GPU, or one on machines without."""
    num_cpus: float = 1.0
    """For each actor."""
    num_gpus: float | None = None
    """For each actor; None for 1 where the cluster has any."""


class RowActor:
    """What runs in the cluster.

    Args:
        build: makes the workers of this actor.
    """

    def __init__(self, build: Callable[[], Workers]) -> None:
        self._build = build
        self._workers: Workers | None = None

    async def start(self) -> str | None:
        """Load the model. Returns what is wrong, in a sentence, or None."""
        try:
            self._workers = self._build()
            await self._workers.start()
        except OryxError as error:
            return str(error)
        except Exception as error:  # another try would have it, too: no memory, a file that is missing
            return " ".join(f"{type(error).__name__}: {error}".split())
        return None

    async def answer(self, row: Row) -> dict[str, Any]:
        """See `Workers.answer`. An actor whose engine has died ends, and is replaced."""
        assert self._workers is not None
        try:
            return dict(await self._workers.answer(row))
        except EngineStopped:
            os._exit(1)


class RayWorkers:
    """The actors of one run. See `running.Workers`.

    Args:
        build: makes the workers of each actor; it is pickled.
        slots_per_actor: rows at work at a time in each.
        cluster: which cluster, and how many actors.
    """

    def __init__(self, build: Callable[[], Workers], slots_per_actor: int, cluster: Cluster) -> None:
        self.num_slots = slots_per_actor
        """Of all actors, once they are started."""
        self.num_lost = 0
        """Actors that were replaced."""
        self._build, self._slots_per_actor, self._cluster = build, slots_per_actor, cluster
        self._actor_class: Any = None
        self._up: set[Any] = set()
        self._slots: asyncio.Queue[Any] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._suspects = asyncio.Lock()
        self._failure: Exception | None = None
        self._owns_ray = False

    async def start(self) -> None:
        """Join the cluster, ask for the actors, and wait for the first of them; others follow.

        Raises:
            ConfigError: no such cluster, too few resources for an actor, or a model that cannot be loaded.
        """
        num_actors, options = await asyncio.to_thread(self._join)
        import ray

        self._actor_class = ray.remote(RowActor).options(
            max_concurrency=self._slots_per_actor + 1, max_restarts=0, max_task_retries=0, **options
        )
        self.num_slots = num_actors * self._slots_per_actor
        for _ in range(num_actors):
            self._begin_actor()
        self._slots.put_nowait(await self._take())

    async def stop(self) -> None:
        """End all actors, and Ray if it was started for this run."""
        import ray

        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for actor in self._up:
            with suppress(ray.exceptions.RayError):
                ray.kill(actor)
        self._up.clear()
        if self._owns_ray:
            await asyncio.to_thread(ray.shutdown)

    async def answer(self, row: Row) -> Mapping[str, Any]:
        """See `Workers.answer`. Of rows whose actor was lost only one is at work at a time: it may be the row
        that actors are lost by.

        Raises:
            OryxError, EngineStopped: no actor can be started any more.
        """
        import ray

        for num_losses in range(MAX_LOSSES):
            async with self._suspects if num_losses else nullcontext():
                actor = await self._take()
                try:
                    output = await actor.answer.remote(row)
                except ray.exceptions.RayTaskError as error:
                    output = {"error": " ".join(f"{type(error.cause).__name__}: {error.cause}".split())}
                except ray.exceptions.RayError:
                    self._lose(actor)
                    continue
            if actor in self._up:
                self._slots.put_nowait(actor)
            return output
        return {"error": f"{MAX_LOSSES} actors were lost while they answered this row."}

    def _join(self) -> tuple[int, dict[str, float]]:
        """Connect. Returns how many actors there will be, and what each needs."""
        import ray

        cluster = self._cluster
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            try:
                ray.init(address=cluster.address or "local", log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise ConfigError(f"there is no Ray cluster at {cluster.address} ({reason}).") from None
            self._owns_ray = True
        there = ray.cluster_resources()
        num_nodes = sum(bool(node["Alive"]) for node in ray.nodes())
        num_gpus = cluster.num_gpus
        if num_gpus is None:
            num_gpus = 1.0 if there.get("GPU", 0) >= 1 else 0.0
        for name, each in (("CPU", cluster.num_cpus), ("GPU", num_gpus)):
            if each > there.get(name, 0):
                raise ConfigError(
                    f"an actor needs {each:g} {name} and the cluster has {there.get(name, 0):g}; lower "
                    f"--actor-{name.lower()}s."
                )
        num_actors = cluster.num_actors or (int(there["GPU"] / num_gpus) if num_gpus else num_nodes)
        return num_actors, {"num_cpus": cluster.num_cpus, "num_gpus": num_gpus}

    def _begin_actor(self) -> None:
        task = asyncio.create_task(self._bring_up())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring_up(self) -> None:
        """One actor more, once the cluster has room for it."""
        import ray

        for pause in (*START_PAUSES, None):
            actor = self._actor_class.remote(self._build)
            try:
                problem = await actor.start.remote()
            except ray.exceptions.RayError as error:
                if getattr(error, "actor_init_failed", False):  # such as a module that is not on its machine
                    reason = str(error).strip().splitlines()[-1]
                    self._fail(ConfigError(f"an actor cannot begin ({reason})."))
                    return
                if pause is None:
                    reason = " ".join(str(error).split())
                    self._fail(EngineStopped(f"actors are lost while they load the model: {reason}"))
                    return
                await asyncio.sleep(pause)
                continue
            except asyncio.CancelledError:
                ray.kill(actor)
                raise
            if problem is not None:
                self._fail(ConfigError(problem))
                return
            self._up.add(actor)
            for _ in range(self._slots_per_actor):
                self._slots.put_nowait(actor)
            return

    async def _take(self) -> Any:
        """An actor with a place that is free."""
        while True:
            actor = await self._slots.get()
            if self._failure is not None:
                self._slots.put_nowait(None)  # for the next who waits
                raise self._failure
            if actor in self._up:
                return actor

    def _lose(self, actor: Any) -> None:
        """Replace an actor, however many of its rows come back."""
        import ray

        if actor in self._up:
            self._up.remove(actor)
            self.num_lost += 1
            with suppress(ray.exceptions.RayError):
                ray.kill(actor)  # it may only be out of reach
            self._begin_actor()

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._slots.put_nowait(None)
