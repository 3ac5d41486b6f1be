"""Sources of object identity: which pixels of each view belong to the same object. One file per source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from oryx.data.builders.correspondence.scenes import Scene
from oryx.data.builders.correspondence.sights import Sightings


class Source(Protocol):
    """What each file of this package has."""

    def identify(self, scene: Scene, views: Sequence[int]) -> Sightings:
        """Objects in some of a scene's views, given by their indices, ascending.

        Views in the result are numbered by their place in `views`; pixels are those of the views' pictures.

        Raises:
            MediaError, ConfigError: a file that the source needs is missing or broken, named in the sentence.
        """
