"""`python -m oryx.evaluation.lmms ...`: a folder to hand to lmms-eval; see `USAGE`."""

import sys
from pathlib import Path
from typing import cast, get_args

from oryx.errors import OryxError
from oryx.evaluation.lmms import CONFIGS, TASKS
from oryx.evaluation.scenes.rules import Benchmark

FOLDERS = {"tasks": TASKS, "configs": CONFIGS}
USAGE = "usage: python -m oryx.evaluation.lmms tasks|configs|needle HAYSTACKS|scanqa RECORDS|sqa3d RECORDS"


def main(arguments: list[str]) -> int:
    """Print the folder that the arguments name; 2 if they name none."""
    try:
        if len(arguments) == 2 and arguments[0] == "needle":
            from oryx.evaluation.lmms.needle import write_needle_task

            print(write_needle_task(Path(arguments[1])))
        elif len(arguments) == 2 and arguments[0] in get_args(Benchmark):
            from oryx.evaluation.lmms.scenes import write_scene_task

            print(write_scene_task(cast(Benchmark, arguments[0]), Path(arguments[1])))
        elif len(arguments) == 1 and arguments[0] in FOLDERS:
            print(FOLDERS[arguments[0]])
        else:
            raise OryxError(USAGE)
    except OryxError as error:
        print(f"oryx: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
