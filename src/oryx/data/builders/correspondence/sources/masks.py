"""Identity from instance masks: a picture beside each view whose pixels hold the object's id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oryx.data.builders.correspondence.scenes import MASK_FOLDERS, Scene
from oryx.data.builders.correspondence.sights import Sightings, measure
from oryx.errors import MediaError
from oryx.media.image import image_size, open_header

# Stretched masks would put marks beside their objects.
_MAX_ASPECT_ERROR = 0.02


class MaskSource:
    """Masks in `instance-filt/` or `instance/` (ScanNet: objectId + 1) or `masks/` (the id); 0 is no object.

    A mask is grey of 8 or 16 bits, indexed, or RGB as in COCO's panoptic files (id = R + 256 G + 65536 B). It
    may be smaller or larger than its view, but not of another aspect.
    """

    def identify(self, scene: Scene, views: Sequence[int]) -> Sightings:
        """As `Source.identify`."""
        if scene.masks is None:
            raise MediaError(
                f"scene '{scene.folder}' has no instance masks; a folder {', '.join(MASK_FOLDERS)} is needed."
            )
        found = Sightings(labels=dict(scene.labels))
        for place, view in enumerate(views):
            path = scene.beside(scene.masks.name, view, ".png")
            ids = read_mask(path)
            height, width = image_size(scene.views[view])
            down, across = height / ids.shape[0], width / ids.shape[1]
            if abs(down / across - 1) > _MAX_ASPECT_ERROR:
                raise MediaError(
                    f"the mask '{path}' of {ids.shape[0]} x {ids.shape[1]} pixels does not fit its view of "
                    f"{height} x {width}; both need the same aspect."
                )
            seen = measure(ids)
            offset = 1 if scene.scannet_ids else 0
            found.add(place, {name - offset: sight.scaled(down, across) for name, sight in seen.items()})
        return found


def read_mask(path: Path) -> np.ndarray:
    """(H, W) int64 ids of a mask.

    Raises:
        MediaError: missing, broken, or of another kind of pixels.
    """
    values, mode = read_values(path)
    if mode in ("RGB", "RGBA"):
        return values[..., :3].astype(np.int64) @ np.array((1, 256, 65536))
    if mode in ("1", "L", "P", "I") or mode.startswith("I;16"):
        return values.astype(np.int64)
    raise MediaError(f"the mask '{path}' has pixels of mode {mode!r}; grey, indexed or RGB ids are needed.")


def read_values(path: Path) -> tuple[np.ndarray, str]:
    """The values of a picture as they are stored, and Pillow's name for their kind ("L", "I;16", "RGB", ...).

    Raises:
        MediaError: missing or broken.
    """
    with open_header(path) as image:
        try:
            return np.asarray(image), image.mode
        except Exception as error:  # Pillow's decoders raise all kinds
            raise MediaError(f"'{path}' is truncated or broken ({error}).") from error
