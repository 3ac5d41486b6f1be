"""Named pictures of common things, made from free picture packages into one small store."""

from oryx.data.pictures.names import ThingName, load_names
from oryx.data.pictures.store import Picture, PictureStore

__all__ = ["Picture", "PictureStore", "ThingName", "load_names"]
