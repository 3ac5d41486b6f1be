"""Multi-view scenes on disk: ScanNet's layout, a plain one, or a folder of pictures.

    ScanNet (SensReader, 2d-instance-filt.zip)     plain                 pictures alone
    scene0000_00/                                  kitchen/              kitchen/
      color/0.jpg 10.jpg ...                         views/0.png ...       0.jpg ...
      instance-filt/0.png ...                        masks/0.png ...
      depth/0.png pose/0.txt intrinsic/*.txt         labels.json
      scene0000_00.aggregation.json
      boxes.json

Files of one moment share their name, whatever the ending.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oryx.data.builders.correspondence.sights import ObjectId
from oryx.errors import ConfigError, MediaError
from oryx.media.views import IMAGE_SUFFIXES, list_views, natural_key

VIEW_FOLDERS = ("color", "views")
MASK_FOLDERS = ("instance-filt", "instance", "masks")
"""The first two are ScanNet's: filtered and raw projections. There a pixel holds objectId + 1."""

CAMERA_FOLDERS = ("depth", "pose", "intrinsic")


@dataclass(frozen=True)
class Scene:
    """A folder of pictures of one place, and what is known about them."""

    folder: Path
    views: tuple[Path, ...]
    """Pictures in natural order."""
    masks: Path | None = None
    """Folder of instance masks."""
    labels: dict[ObjectId, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def scannet_ids(self) -> bool:
        """Whether masks hold objectId + 1."""
        return self.masks is not None and self.masks.name != "masks"

    def fingerprint(self) -> str:
        """A hash by which this scene is told from another of its name, and from itself after a change.

        It is of the names and sizes of its files, of how the first picture of each folder begins, and of what
        all others hold, up to 1 MiB each.
        """
        digest = hashlib.sha256()
        for name in ("", *VIEW_FOLDERS, *MASK_FOLDERS, *CAMERA_FOLDERS):
            has_picture = False
            for file in sorted((self.folder / name).glob("[!.]*")):
                if not file.is_file():
                    continue
                told = f"{name}/{file.name}\0{file.stat().st_size}\0"
                digest.update(told.encode(errors="surrogateescape"))
                is_picture = file.suffix.lower() in IMAGE_SUFFIXES
                if not (is_picture and has_picture):
                    with suppress(OSError), file.open("rb") as begin:  # told when it is used
                        digest.update(begin.read(2**20))
                has_picture |= is_picture
        return digest.hexdigest()

    def beside(self, folder: str, view: int, suffix: str) -> Path:
        """The file of the same moment in another folder."""
        return self.folder / folder / f"{self.views[view].stem}{suffix}"


def open_scene(folder: str | Path) -> Scene:
    """The scene in a folder.

    Raises:
        MediaError: no such folder, or one without pictures.
        ConfigError: a file of labels that is broken.
    """
    folder = Path(folder).resolve()  # so that "." has a name
    inner = next((folder / name for name in VIEW_FOLDERS if (folder / name).is_dir()), folder)
    views = tuple(Path(str(view)) for view in list_views(inner))
    stems: dict[str, Path] = {}
    for view in views:
        if view.stem in stems:
            raise MediaError(f"{stems[view.stem]} and {view} are of one name; views must differ in it.")
        stems[view.stem] = view
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    return Scene(folder, views, masks, _read_labels(folder))


def find_scenes(paths: Iterable[str | Path]) -> list[Path]:
    """Folders of scenes: each path that is one, else the scenes directly inside it, in natural order.

    Raises:
        MediaError: a path that does not exist or holds no scene.
        ConfigError: two scenes of one name, which would be written to one place.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            problem = "is not a folder" if path.exists() else "does not exist"
            raise MediaError(f"'{path}' {problem}; a scene or a folder of scenes is needed there.")
        inside = [path] if _is_scene(path) else sorted(filter(_is_scene, path.iterdir()), key=natural_key)
        if not inside:
            raise MediaError(
                f"'{path}' holds no scene; a scene is a folder of pictures, or of a folder "
                f"{' or '.join(VIEW_FOLDERS)} of pictures."
            )
        found += inside
    names: dict[str, Path] = {}
    for folder in found:
        other = names.setdefault(folder.resolve().name, folder)
        if other is not folder:
            raise ConfigError(f"'{other}' and '{folder}' are scenes of one name; give them apart.")
    return found


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ConfigError: it is missing or broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"'{path}' does not exist.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read as JSON ({error}).") from None


def _is_scene(folder: Path) -> bool:
    if not folder.is_dir() or folder.name.startswith("."):
        return False
    if any((folder / name).is_dir() for name in VIEW_FOLDERS):
        return True
    return any(file.suffix.lower() in IMAGE_SUFFIXES and file.is_file() for file in folder.iterdir())


def _read_labels(folder: Path) -> dict[ObjectId, str]:
    """Object id -> name: from `labels.json` ({"3": "chair"}), else from ScanNet's aggregation file."""
    if (path := folder / "labels.json").is_file():
        content = read_json(path)
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
            raise ConfigError(f"'{path}' must be an object of ids and names.")
        return {int(key) if key.lstrip("-").isdecimal() else key: name for key, name in content.items()}
    # That of the clean mesh (*_vh_clean.aggregation.json) counts objects of its own.
    paths = [path for path in folder.glob("*.aggregation.json") if "_vh_clean" not in path.name]
    if not paths:
        return {}
    groups = read_json(paths[0])
    try:
        return {int(group["objectId"]): str(group["label"]) for group in groups["segGroups"]}
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"'{paths[0]}' must hold \"segGroups\" of objectId and label.") from None
