"""`oryx plan --calibrate`: how fast this machine runs a model, measured once and kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oryx.processing.speed import Speed


def calibrate_machine(folder: Path, vision_tower: Path | None, dtype: str, device: str) -> Speed:
    """Measure and keep; says on stderr where."""
    from oryx.checkpoints.published import expected_shapes
    from oryx.cli.display import progress_bar
    from oryx.cli.forecast import make_planner, read_any_config
    from oryx.cli.noise import quiet_transformers
    from oryx.engine.calibration import measure_speed
    from oryx.loading import count_parameters, load_processor, resolve_device, resolve_dtype
    from oryx.processing.speed import write_speed

    quiet_transformers()
    planner = make_planner(folder, vision_tower, dtype, device)
    config = read_any_config(folder, vision_tower)
    where = resolve_device(device)
    chosen = resolve_dtype(dtype, config.dtype, where, count_parameters(expected_shapes(config)))
    print(
        f"oryx: timing {folder.name} in {str(chosen).removeprefix('torch.')} on {where}; it takes a minute "
        "or two, and longer for large models",
        file=sys.stderr,
        flush=True,
    )
    with progress_bar("calibrating") as bar:
        speed = measure_speed(config, load_processor(folder), chosen, where, report=bar.update)
    assert planner.sizes is not None
    file = write_speed(speed, planner.sizes, {dtype, speed.dtype}, {device, where.type})
    print(f"oryx: calibrated for {folder.name} in {speed.dtype} on {where}; kept in {file}", file=sys.stderr)
    return speed
