"""Makes a store of named pictures from unpacked packages: small, split once and for all, with its credits."""

from __future__ import annotations

import itertools
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from oryx.data.pictures.alike import join_copies
from oryx.data.pictures.names import ThingName, load_names
from oryx.data.pictures.sources import STYLES, StyleReader, find_sources
from oryx.data.pictures.store import FILE_NAME, Picture, mean_ink, write_store
from oryx.errors import ConfigError
from oryx.files import make_folder, staged

SIDE = 96
"""Longest side of a stored picture, in pixels; smaller ones keep their size."""

_MIN_TRAINED = 4
# Of one thing, a fluent picture is drawn twice (flat and in 3D): held out, it would not be new.
_HELD_OUT_STYLES = ("clipart", "emojione", "fxemoji", "streamline", "twemoji")


@dataclass(frozen=True)
class Found:
    """One picture before it is read: of what, in which style, its name in the package."""

    thing: ThingName
    style: str
    source: str

    @property
    def drawing(self) -> str:
        """The same for pictures that are one drawing in other colours or from one series."""
        if self.style != "clipart":
            return f"{self.style} {self.source}"
        stem = re.sub(r"_?bw(?=_|$)|_b_w_|\d+", "", self.source.removesuffix(".png"))
        return f"clipart {stem.replace('_color_', '_').strip('_')}"


def build_store(
    output: Path,
    folders: Sequence[Path],
    partial: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Picture]:
    """Writes `pictures.zip` and `CREDITS.md` into `output` and returns what is in the store.

    Args:
        output: a folder, made if missing; files of these two names in it are replaced together at the end.
        folders: searched, at any depth, for the packages of `STYLES`.
        partial: make do without the packages that are not there. Such a store trains, but holds out other
            pictures than the whole one, and is no test.
        progress: called after every picture with its name, how many are done and how many there are.

    Raises:
        ConfigError: a folder that does not exist, a package that is missing, an output that cannot be
            written, or a missing library.
        MediaError: a picture that cannot be read.
    """
    found_readers = find_sources(folders)
    readers = {name: found_readers[name] for name in STYLES if name in found_readers}
    missing = [style for name, style in STYLES.items() if name not in readers]
    if missing and (not partial or not readers):
        wanted = "; ".join(style.fetch for style in missing)
        raise ConfigError(
            f"{', '.join(map(str, folders))} holds no {', '.join(style.package for style in missing)}; fetch "
            f"and unpack them ({wanted}), or use --partial for a store without them."
        )
    make_folder(output)
    found = [
        Found(thing, name, source)
        for thing in load_names().values()
        for name, reader in readers.items()
        for source in reader.find(thing.pictures_of(name, STYLES[name].key))
    ]
    seen = []
    for number, (item, split) in enumerate(zip(found, split_pictures(found), strict=True)):
        image = thumbnail(readers[item.style].open(item.source))
        if image is not None:
            seen.append((item, split, image))
        if progress is not None:
            progress(item.thing.name, number + 1, len(found))
    splits = join_copies(
        [item.thing.name for item, _, _ in seen],
        [split for _, split, _ in seen],
        [image for _, _, image in seen],
    )
    entries = [
        (_picture(number, item, split, image), image)
        for number, ((item, _, image), split) in enumerate(zip(seen, splits, strict=True))
    ]
    pictures = [picture for picture, _ in entries]
    # Which pictures are held out depends on all that were found: a store says what it is made without.
    about = {"side": SIDE, **({"missing": [style.name for style in missing]} if missing else {})}
    try:
        with staged(output / FILE_NAME) as store, staged(output / "CREDITS.md") as credits:
            write_store(store, entries, about)
            credits.write_text(credits_text(readers, pictures), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the store in {output} cannot be written ({error.strerror or error}).") from None
    return pictures


def split_pictures(found: Sequence[Found]) -> list[str]:
    """The split of each picture: it depends on the pictures of its own thing alone.

    All of a style that is not trained on is "new_style". Of the others every thing gives to "test" one
    drawing in four of its clip art (one at least) or, with less than two of those, any one drawing; it gives
    nothing if less than four pictures would be left to train on.
    """
    held_out: set[tuple[str, str]] = set()
    names = list(dict.fromkeys(item.thing.name for item in found))
    for name in names:
        mine = [item for item in found if item.thing.name == name and STYLES[item.style].trained]
        by_style = {
            style: sorted({item.drawing for item in mine if item.style == style}, key=_shuffled)
            for style in _HELD_OUT_STYLES
        }
        clipart = by_style["clipart"]
        if len(clipart) >= 2:
            chosen = clipart[: max(1, len(clipart) // 4)]
        else:
            chosen = sorted(itertools.chain(*by_style.values()), key=_shuffled)[:1]
        if len(mine) - sum(item.drawing in chosen for item in mine) >= _MIN_TRAINED:
            held_out.update((name, drawing) for drawing in chosen)
    return [
        "new_style"
        if not STYLES[item.style].trained
        else ("test" if (item.thing.name, item.drawing) in held_out else "train")
        for item in found
    ]


def _picture(number: int, item: Found, split: str, image: Image.Image) -> Picture:
    licence = STYLES[item.style].licence
    file = f"{number:04d}.png"
    return Picture(item.thing.name, item.style, split, file, item.source, licence, mean_ink(image))


def thumbnail(image: Image.Image) -> Image.Image | None:
    """The picture (RGBA) cut to what it shows, its longest side at most `SIDE`; None if it shows nothing."""
    box = image.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    scale = SIDE / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def credits_text(readers: Mapping[str, StyleReader], pictures: Sequence[Picture]) -> str:
    """CREDITS.md: who drew what, under which licence, and what was changed."""
    counts = Counter(picture.style for picture in pictures)
    lines = [
        "# Credits of the pictures",
        "",
        f"Pictures of `{FILE_NAME}`, each cut to what it shows and scaled to at most {SIDE} pixels a side. "
        "The index inside names the source file of every picture.",
        "",
        "| style | by | package | licence | pictures |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in readers:
        style = STYLES[name]
        lines.append(f"| {name} | {style.credit} | {style.package} | {style.licence} | {counts[name]} |")
    return "\n".join([*lines, ""])


def _shuffled(text: str) -> int:
    return zlib.crc32(text.encode())
