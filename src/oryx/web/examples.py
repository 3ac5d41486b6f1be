"""Things to try that come with the package, with questions that `nano` gets right."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """A medium and a question about it."""

    label: str
    sources: tuple[str, ...]
    """Files in the folder of examples."""
    question: str
    answer: str
    """What `nano` says."""
    as_views: bool = False


EXAMPLES = (
    Example("Scene", ("scene.png",), "Where is the red circle?", "top right"),
    Example("Sign", ("sign.png",), "What does the text say?", "hello"),
    Example("Page", ("page.png",), "How many lines are there?", "2"),
    Example("Video", ("order.mp4",), "What comes first?", "red circle"),
    Example("Motion", ("moving.mp4",), "Which direction does the object move?", "left"),
    Example(
        "Room, four views",
        tuple(f"room/view{number}.png" for number in range(1, 5)),
        "What comes first?",
        "yellow star",
        as_views=True,
    ),
)


def examples_folder() -> Path | None:
    """Where they are: in the installed package, or in the folder of the project; None if they are nowhere."""
    package = Path(str(files("oryx")))
    for folder in (package / "assets" / "examples", package.parents[1] / "examples"):
        if all((folder / source).is_file() for example in EXAMPLES for source in example.sources):
            return folder
    return None


def copy_examples(target: Path) -> list[tuple[Example, tuple[str, ...]]]:
    """Copy all to where uploads are, since nothing else is served: each example and its files there."""
    folder = examples_folder()
    if folder is None:
        return []
    copied = []
    for example in EXAMPLES:
        paths = []
        for source in example.sources:
            path = target / source
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / source, path)
            paths.append(str(path))
        copied.append((example, tuple(paths)))
    return copied
