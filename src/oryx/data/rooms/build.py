"""Draws a whole store of rooms over several processes; a run that was cut goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oryx.data.processes import run_in_processes
from oryx.data.rooms.catalogue import Furniture, credits_text
from oryx.data.rooms.render import Renderer
from oryx.data.rooms.scene import RoomSettings, Scene, draw_room, group_by_label
from oryx.data.rooms.store import (
    CREDITS,
    SETTINGS,
    SHARD_ROOMS,
    check_same,
    last_room,
    missing_shards,
    view_files,
    write_shard,
)
from oryx.errors import ConfigError
from oryx.files import make_folder, write_whole

SIDE_STEP = 8  # JPEG blocks


def check_settings(settings: RoomSettings) -> None:
    """Raises ConfigError if something is out of range."""
    if settings.num_rooms < 1:
        raise ConfigError(f"rooms is {settings.num_rooms}; at least 1 is needed.")
    for what, (low, high), least, most in (
        ("views", settings.num_views, 1, 64),
        ("objects", settings.num_objects, 1, 40),
    ):
        if not least <= low <= high <= most:
            raise ConfigError(f"{what} is {low}-{high}; allowed is MIN-MAX within {least} to {most}.")
    for side in (settings.height, settings.width):
        if not 32 <= side <= 2048 or side % SIDE_STEP:
            raise ConfigError(
                f"size is {settings.height}x{settings.width}; height and width must be multiples of "
                f"{SIDE_STEP} from 32 to 2048."
            )
    if not 0 <= settings.tinted <= 1:
        raise ConfigError(f"tinted is {settings.tinted}; it must be a share, 0 to 1.")


def build_rooms(
    folder: Path,
    furniture: Sequence[Furniture],
    settings: RoomSettings,
    depth: bool = False,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes the rooms that the folder lacks, and returns how many there were.

    Args:
        depth: also store depth pictures.
        workers: processes; the rooms do not depend on how many.
        progress: called with the rooms that are done and all rooms.

    Raises:
        ConfigError: settings out of range, or other ones than those that the folder was begun with, fewer
            rooms than it holds, a folder that cannot be written, or a worker that died.
        MediaError: a furniture model that cannot be read.
    """
    check_settings(settings)
    make_folder(folder)
    _claim(folder, furniture, settings, depth)
    shards = missing_shards(folder, settings.num_rooms)
    total = sum(len(_rooms_of(shard, settings)) for shard in shards)
    done = settings.num_rooms - total
    if progress is not None:
        progress(done, settings.num_rooms)
    jobs = [(folder, shard, furniture, settings, depth) for shard in shards]
    if min(workers, len(jobs)) <= 1:
        for job in jobs:
            for _ in _shard_steps(*job):
                done += 1
                if progress is not None:
                    progress(done, settings.num_rooms)
        return total
    for drawn in run_in_processes(_draw_shard, jobs, workers, "drawn"):
        done += drawn
        if progress is not None:
            progress(done, settings.num_rooms)
    return total


def store_settings(furniture: Sequence[Furniture], settings: RoomSettings, depth: bool) -> dict[str, Any]:
    """What a store of such rooms keeps as its settings, as plain JSON values."""
    order = list(dict.fromkeys(piece.catalogue for piece in furniture))
    kept = {
        **dataclasses.asdict(settings),
        "depth": depth,
        "catalogues": sorted(order),
        "catalogue_order": order,  # which models a room draws depends on it
        "models": len(furniture),
        "labels": sorted({piece.label for piece in furniture}),
        "ids_at": "middles of pixels",  # earlier stores: a quarter pixel right and below
    }
    return json.loads(json.dumps(kept))


def _claim(folder: Path, furniture: Sequence[Furniture], settings: RoomSettings, depth: bool) -> None:
    """Writes settings and credits, or checks that the folder was begun with the same."""
    wanted = store_settings(furniture, settings, depth)
    check_same(folder, wanted)
    last = last_room(folder)
    if settings.num_rooms < last:
        raise ConfigError(
            f"{folder} is drawn up to room {last}; ask for as many rooms or more, or give a new folder."
        )
    if last % SHARD_ROOMS and settings.num_rooms != last:
        raise ConfigError(
            f"{folder} holds {last} rooms, whose last shard of {SHARD_ROOMS} is not full: "
            "rooms can be added to full shards alone."
        )
    try:
        write_whole(folder / SETTINGS, json.dumps(wanted, indent=1).encode())
        write_whole(folder / CREDITS, credits_text(furniture).encode())
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}).") from None


def _rooms_of(shard: int, settings: RoomSettings) -> range:
    return range(shard * SHARD_ROOMS, min((shard + 1) * SHARD_ROOMS, settings.num_rooms))


def _draw_shard(
    folder: Path, shard: int, furniture: Sequence[Furniture], settings: RoomSettings, depth: bool
) -> int:
    """How many rooms it drew."""
    return sum(1 for _ in _shard_steps(folder, shard, furniture, settings, depth))


_renderers: dict[tuple[int, int], Renderer] = {}


def _shard_steps(
    folder: Path, shard: int, furniture: Sequence[Furniture], settings: RoomSettings, depth: bool
) -> Iterator[int]:
    """Yields after each room; the shard's files are there when the iteration is over."""
    size = (settings.height, settings.width)
    if size not in _renderers:
        _renderers[size] = Renderer(*size)
    groups = group_by_label(furniture)
    drawn: list[tuple[dict[str, Any], list[tuple[str, bytes]]]] = []
    for index in _rooms_of(shard, settings):
        scene = draw_room(index, settings, groups, _renderers[size])
        drawn.append((scene.record, _files(scene, depth)))
        yield index
    write_shard(folder, shard, iter(drawn))


def _files(scene: Scene, depth: bool) -> list[tuple[str, bytes]]:
    return view_files([(view.image, view.ids, view.depth if depth else None) for view in scene.views])
