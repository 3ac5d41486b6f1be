"""Named furniture models out of Sweet Home 3D catalogues: zips of OBJ models with names, sizes and authors.

The format of `PluginFurnitureCatalog.properties` is documented at
https://www.sweethome3d.com/documentation.jsp (Furniture Library Editor): one `key#number=value` per property
of piece `number`, sizes in centimetres.
"""

import functools
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from oryx.errors import ConfigError
from oryx.processing.geometry import nearest

PROPERTIES = "PluginFurnitureCatalog.properties"
ENDINGS = (".sh3f", ".zip")


@dataclass(frozen=True)
class Label:
    """A common name and how things of that name stand in a room."""

    name: str
    plural: str
    place: str
    """ "wall": its back to a wall; "free": anywhere; "top": on a table or the like if one is there."""
    like: str = ""
    """Labels that name the same group could be taken for each other: a room holds only one of a group."""
    many: bool = False
    """Whether a room may hold several."""
    tint: bool = True
    """Whether other colours than the model's own are natural."""
    weight: float = 1.0
    """How often a room holds one, relative to other labels."""


@dataclass(frozen=True)
class Furniture:
    """One model. Sizes in metres: `width` along x, `depth` along y, `height` along z."""

    id: str
    name: str
    label: str
    catalogue: str
    """Name of the catalogue's file, without its ending."""
    creator: str
    licence: str
    width: float
    depth: float
    height: float
    elevation: float
    """Height of its lower end above the floor."""
    top: float | None
    """Height above its lower end of the surface on which things may stand; None: nothing stands on it."""
    rotation: tuple[float, ...] | None
    """3 x 3, row by row, in the axes of the OBJ file (y up): applied before the model is scaled."""
    archive: Path = field(compare=False)
    member: str
    """Path of the OBJ file inside of the archive."""


@functools.cache
def labels() -> dict[str, Label]:
    """Name -> label, of all labels there are, in the order of `labels.yaml`."""
    return {
        name: Label(
            name,
            entry.get("plural", f"{name}s"),
            entry["place"],
            entry.get("like", ""),
            entry.get("many", False),
            entry.get("tint", True),
            entry.get("weight", 1.0),
        )
        for name, entry in _table()["labels"].items()
    }


def read_furniture(sources: Sequence[Path], catalogues: Sequence[str] | None = None) -> list[Furniture]:
    """The models that have a label, in the order of their catalogues.

    Args:
        sources: `.sh3f` or `.zip` files, or folders of them.
        catalogues: names of files without their ending; None for all.

    Raises:
        ConfigError: no such file or catalogue, a file that is no catalogue, or one without a labelled model.
    """
    archives = {path.stem: path for path in _archives(sources)}
    for name in catalogues or ():
        if name not in archives:
            raise ConfigError(f"there is no catalogue {name!r}; {nearest(name, sorted(archives))}.")
    found: list[Furniture] = []
    for name in catalogues or sorted(archives):
        found += _read_archive(archives[name])
    if not found:
        raise ConfigError(f"{', '.join(catalogues or sorted(archives))}: no model has a known name.")
    return found


def _archives(sources: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = sorted(path for path in source.iterdir() if path.suffix.lower() in ENDINGS)
            if not inside:
                raise ConfigError(f"{source} holds no furniture catalogue ({' or '.join(ENDINGS)} files).")
            found += inside
        elif source.is_file():
            found.append(source)
        else:
            raise ConfigError(f"{source} does not exist; give furniture catalogues or a folder of them.")
    return found


def _read_archive(path: Path) -> list[Furniture]:
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(PROPERTIES).decode("latin-1")  # as Java properties are
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise ConfigError(
            f"{path} is no furniture catalogue: a zip with {PROPERTIES} is needed ({error})."
        ) from None
    common, pieces = parse_properties(text)
    found = []
    for number in sorted(pieces):
        piece = pieces[number]
        try:
            label = label_of(piece["id"], piece["name"])
            if label is not None:
                found.append(_furniture(piece, label, path, common.get("license", "unknown")))
        except (KeyError, ValueError) as error:
            raise ConfigError(f"{path}: piece {number} lacks or misstates a property ({error}).") from None
    return found


def _furniture(piece: Mapping[str, str], label: str, path: Path, licence: str) -> Furniture:
    width, depth, height = (float(piece[key]) / 100 for key in ("width", "depth", "height"))
    rotation = tuple(float(value) for value in piece.get("modelRotation", "").split())
    top = piece.get("dropOnTopElevation")
    return Furniture(
        id=piece["id"],
        name=piece["name"],
        label=label,
        catalogue=path.stem,
        creator=piece.get("creator", "unknown"),
        licence=piece.get("license", licence),
        width=width,
        depth=depth,
        height=height,
        elevation=float(piece.get("elevation", 0)) / 100,
        top=float(top) / 100 if top is not None and float(top) > 0 else None,
        rotation=rotation if len(rotation) == 9 else None,
        archive=path,
        member=piece["model"].lstrip("/"),
    )


def parse_properties(text: str) -> tuple[dict[str, str], dict[int, dict[str, str]]]:
    """Properties of the catalogue, and of each numbered piece."""
    common: dict[str, str] = {}
    pieces: dict[int, dict[str, str]] = {}
    for line in re.sub(r"\\\r?\n[ \t]*", "", text).splitlines():
        line = line.strip()
        if not line or line[0] in "#!" or "=" not in line:
            continue
        key, value = (part.strip() for part in line.split("=", 1))
        value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), value)
        name, _, number = key.partition("#")
        if number.isdigit():
            pieces.setdefault(int(number), {})[name] = value
        elif not number:
            common[name] = value
    return common, pieces


def label_of(piece: str, name: str) -> str | None:
    """The common name of a piece by its id, or else by its catalogue name; None if it has none."""
    by_id, by_name = _lookups()
    return by_id[piece] if piece in by_id else by_name.get(name.lower())


@functools.cache
def _lookups() -> tuple[dict[str, str | None], dict[str, str]]:
    table = _table()
    by_id: dict[str, str | None] = dict.fromkeys(table["left_out"])
    by_name: dict[str, str] = {}
    for label, entry in table["labels"].items():
        by_id.update(dict.fromkeys(entry.get("models", ()), label))
        by_name.update(dict.fromkeys((name.lower() for name in entry.get("names", ())), label))
    return by_id, by_name


def _table() -> dict[str, Any]:
    return yaml.safe_load(resources.files(__package__).joinpath("labels.yaml").read_text(encoding="utf-8"))


def credits_text(furniture: Iterable[Furniture]) -> str:
    """Markdown that credits every model by name, author and licence, catalogue by catalogue."""
    lines = [
        "# Credits of the furniture",
        "",
        "The furniture shown in these rooms comes from these catalogues.",
        "",
    ]
    by_catalogue: dict[str, list[Furniture]] = {}
    for piece in furniture:
        by_catalogue.setdefault(piece.catalogue, []).append(piece)
    for catalogue, pieces in by_catalogue.items():
        lines += [f"## {catalogue}", ""]
        for licence in sorted({piece.licence for piece in pieces}):
            lines.append(f"Licence: {licence}")
        lines.append("")
        authors: dict[str, list[str]] = {}
        for piece in pieces:
            authors.setdefault(piece.creator, []).append(piece.name)
        lines += [f"- {author}: {', '.join(sorted(set(names)))}" for author, names in sorted(authors.items())]
        lines.append("")
    return "\n".join(lines)
