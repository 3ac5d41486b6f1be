"""One scene, from its pictures to marked views."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from oryx.data.builders.correspondence.drawing import contact_sheet, default_size, draw_marks
from oryx.data.builders.correspondence.marks import (
    FILE,
    MarkedObject,
    MarkedScene,
    MarkedView,
    write_marks,
)
from oryx.data.builders.correspondence.scenes import Scene, open_scene
from oryx.data.builders.correspondence.selection import select_objects, select_views
from oryx.data.builders.correspondence.settings import MarkSettings
from oryx.data.builders.correspondence.sights import Sightings
from oryx.data.builders.correspondence.sources import Source
from oryx.data.builders.correspondence.sources.boxes import BoxSource, has_boxes
from oryx.data.builders.correspondence.sources.features import FeatureSource
from oryx.data.builders.correspondence.sources.masks import MaskSource
from oryx.errors import ConfigError, MediaError
from oryx.files import staged_folder
from oryx.media.image import image_size, open_image
from oryx.media.sampling import spread

SHEET = "sheet.jpg"
_TRACKING = ("sam2", "features")


class OutputError(ConfigError):
    """Marked views cannot be written: no fault of the scene's."""


def mark_scene(
    scene: Scene | str | Path,
    output: str | Path,
    settings: MarkSettings | None = None,
    source: Source | None = None,
) -> MarkedScene:
    """Mark the objects of a scene that are seen in most of its views.

    Writes `output/<scene>/` with `views/000.jpg ...`, `marks.json` and a contact sheet, `sheet.jpg`. The
    folder appears when it is whole, and takes the place of an older one.

    Args:
        scene: a scene or its folder.
        output: where scenes are written.
        settings: what to mark and which views to keep; the defaults of `MarkSettings` if None.
        source: where identity comes from; made by `settings.source` if None.

    Raises:
        MediaError: the scene lacks what its source needs, a file is broken, or no object is in enough views.
        ConfigError: the weights, boxes or labels are broken.
        OutputError: the output cannot be written, or holds something else by the scene's name.
    """
    settings = settings or MarkSettings()
    if not isinstance(scene, Scene):
        scene = open_scene(scene)
    folder = Path(output) / scene.name
    check_place(folder)
    if folder.resolve() == scene.folder.resolve():
        raise OutputError(f"'{folder}' is the scene itself; use another output folder.")
    name, source = (type(source).__name__, source) if source else make_source(scene, settings)
    candidates = _candidates(scene, settings, name)
    found = _look(scene, candidates, settings, source)
    chosen = select_views(len(candidates), settings.views, settings.choose, found.areas())
    found = found.restricted(chosen, dict.fromkeys(chosen, 0.0))
    views = [candidates[place] for place in chosen]
    pictures = [open_image(scene.views[view]) for view in views]
    small = [_reduced(picture, settings.max_side) for picture in pictures]
    objects = _objects(found, pictures, small, settings)
    if not any(entry.number for entry in objects):
        raise MediaError(
            f"scene '{scene.folder}': no object is seen in {settings.min_views} of the {len(views)} views "
            "that were kept, so there is nothing to mark."
        )
    size = settings.mark_size or default_size(small)
    written = tuple(
        MarkedView(
            f"views/{place:03}.{settings.format}",
            scene.views[view].relative_to(scene.folder).as_posix(),
            picture.height,
            picture.width,
        )
        for place, (view, picture) in enumerate(zip(views, small))
    )
    marked = MarkedScene(
        scene.name, folder, name, written, objects, size, settings.to_dict(), scene.fingerprint()
    )
    _write(marked, _draw(marked, small, size))
    return marked


def check_place(folder: Path) -> None:
    """Raises OutputError where marked views would take the place of something else."""
    if folder.exists() and not (folder / FILE).is_file():
        raise OutputError(f"'{folder}' is there already and holds no marks; use another output folder.")


def make_source(scene: Scene, settings: MarkSettings) -> tuple[str, Source]:
    """The source of a scene's identity, with its name: masks before boxes before SAM 2 before features.

    Raises:
        ConfigError: SAM 2 weights that are missing or broken.
    """
    name = settings.source
    if name == "auto":
        if scene.masks is not None:
            name = "masks"
        elif has_boxes(scene, settings.boxes):
            name = "boxes"
        else:
            name = "sam2" if settings.sam2 else "features"
    if name == "masks":
        return name, MaskSource()
    if name == "boxes":
        return name, BoxSource(settings.boxes)
    if name == "features":
        return name, FeatureSource()
    return name, load_sam2(settings.sam2 or "", settings.device)


@functools.lru_cache(maxsize=1)
def load_sam2(model: str, device: str) -> Source:
    """A SAM 2 tracker, loaded once for all scenes.

    Raises:
        ConfigError: there are no such weights.
    """
    from oryx.data.builders.correspondence.sources.sam2 import Sam2Source

    return Sam2Source(model, device)


def _candidates(scene: Scene, settings: MarkSettings, source: str) -> list[int]:
    """Views in which objects are looked for: more than are kept where that makes a difference."""
    if len(scene.views) < 2 and settings.min_views > 1:
        raise MediaError(f"scene '{scene.folder}' has a single view; at least 2 are needed.")
    many = settings.choose == "coverage" or source in _TRACKING
    return spread(len(scene.views), max(settings.views, settings.candidates) if many else settings.views)


def _look(scene: Scene, views: Sequence[int], settings: MarkSettings, source: Source) -> Sightings:
    sizes = [image_size(scene.views[view]) for view in views]
    least = {place: settings.min_share * height * width for place, (height, width) in enumerate(sizes)}
    found = source.identify(scene, views).without(settings.exclude)
    return found.restricted(range(len(views)), least)


def _reduced(picture: Image.Image, max_side: int | None) -> Image.Image:
    share = (max_side or 0) / max(picture.size)
    if not 0 < share < 1:
        return picture
    width, height = (max(1, round(length * share)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _objects(
    found: Sightings, pictures: Sequence[Image.Image], small: Sequence[Image.Image], settings: MarkSettings
) -> tuple[MarkedObject, ...]:
    """All objects, the chosen ones numbered from 1, with their sights in the written views."""
    chosen = select_objects(found.areas(), settings.objects, settings.min_views)
    numbers = {name: number for number, name in enumerate(chosen, start=1)}
    objects = []
    for name in (*chosen, *(other for other in found.sights if other not in numbers)):
        sights = {
            view: sight.scaled(
                small[view].height / pictures[view].height, small[view].width / pictures[view].width
            )
            for view, sight in found.sights[name].items()
        }
        objects.append(MarkedObject(name, numbers.get(name), found.labels.get(name), sights))
    return tuple(objects)


def _draw(scene: MarkedScene, pictures: Sequence[Image.Image], size: int) -> list[Image.Image]:
    centers = {
        entry.id: {view: (sight.y, sight.x) for view, sight in entry.sights.items()} for entry in scene.marked
    }
    numbers = {entry.id: entry.number for entry in scene.marked if entry.number is not None}
    return draw_marks(pictures, centers, numbers, size)


def _write(scene: MarkedScene, views: Sequence[Image.Image]) -> None:
    try:
        with staged_folder(scene.folder, replace=True) as staging:
            (staging / "views").mkdir()
            for view, picture in zip(scene.views, views):
                # Full colour resolution: halved, a red dot bleeds into its white digit.
                picture.save(staging / view.file, quality=95, subsampling=0)
            contact_sheet(views).save(staging / SHEET, quality=90, subsampling=0)
            write_marks(scene, staging)
    except OSError as error:
        raise OutputError(f"'{scene.folder}' cannot be written ({error}).") from error
