"""`python -m oryx.evaluation.lmms tasks|configs`: a folder to hand to lmms-eval."""

import sys

from oryx.evaluation.lmms import CONFIGS, TASKS

FOLDERS = {"tasks": TASKS, "configs": CONFIGS}


def main(arguments: list[str]) -> int:
    """Print the folder that the arguments name; 2 if they name none."""
    if len(arguments) != 1 or arguments[0] not in FOLDERS:
        print(f"usage: python -m oryx.evaluation.lmms {'|'.join(FOLDERS)}", file=sys.stderr)
        return 2
    print(FOLDERS[arguments[0]])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
