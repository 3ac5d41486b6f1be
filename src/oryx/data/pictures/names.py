"""What the things are called, and which pictures of which style show them (`things.yaml`)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

NUMBERS = ("singular", "mass", "plural")


@dataclass(frozen=True)
class ThingName:
    """One thing: its name, and where its pictures are."""

    name: str
    """One or two English words, such as "cat" or "palm tree"."""
    number: str
    """One of `NUMBERS`."""
    article: str
    """ "a", "an" or "some"."""
    mirror: bool
    """Whether its mirror image is still a picture of it."""
    pictures: Mapping[str, tuple[str, ...]]
    """Key of `things.yaml` ("emoji", "clipart", ...) -> characters, icon names or file names."""

    @property
    def phrase(self) -> str:
        """ "a cat", "an apple", "some bread", "some grapes"."""
        return f"{self.article} {self.name}"

    def pictures_of(self, style: str, key: str) -> tuple[str, ...]:
        """What a style has of it: the style's own list, else that of all styles of a key ("emoji")."""
        return self.pictures.get(style, self.pictures.get(key, ()))


@functools.cache
def load_names() -> dict[str, ThingName]:
    """Name -> thing, in the order of the file, which goes from topic to topic."""
    text = resources.files(__package__).joinpath("things.yaml").read_text(encoding="utf-8")
    return {name: _parse(name, entry) for name, entry in yaml.safe_load(text).items()}


def _parse(name: str, entry: dict[str, Any]) -> ThingName:
    entry = dict(entry)
    number, mirror = entry.pop("number", "singular"), entry.pop("mirror", True)
    usual = "some" if number != "singular" else "an" if name[0] in "aeiou" else "a"
    return ThingName(
        name,
        number,
        entry.pop("article", usual),
        mirror,
        {key: tuple(values) for key, values in entry.items()},
    )
