"""Registers Oryx with the Auto classes of `transformers` as soon as both packages are imported.

Importing `transformers` costs seconds, so `import oryx` does not. Each of our modules below registers itself
when it is imported; this hook imports it right after the Auto module that needs it, in whichever order the
user's imports come.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_FOLLOWERS = {
    "transformers.models.auto.configuration_auto": "oryx.config",
    "transformers.models.auto.modeling_auto": "oryx.model.modeling",
    "transformers.models.auto.processing_auto": "oryx.processing.processor",
}


class _Followed(Loader):
    """Loads a module of `transformers`, then ours that registers with it."""

    def __init__(self, loader: Loader, follower: str) -> None:
        self.loader, self.follower = loader, follower

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        if self.follower not in sys.modules:  # else it is being imported, and registers itself at its end
            import_module(self.follower)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _FOLLOWERS:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Followed(spec.loader, _FOLLOWERS[fullname])
        return spec


def install() -> None:
    """Called once, by `import oryx`."""
    sys.meta_path.insert(0, _Finder())
    for name, follower in _FOLLOWERS.items():
        if name in sys.modules:
            import_module(follower)
