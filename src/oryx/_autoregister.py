"""Registers Oryx with the Auto classes of `transformers` as soon as both packages are in use.

Importing `transformers` costs seconds, so `import oryx` does not. Each of our modules below registers itself
when it is imported; this hook imports it once the Auto module that needs it is there, in whichever order the
user's imports come. It waits for the outermost import to end: modules of `transformers` import each other in
circles, and ours need theirs whole.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_FOLLOWERS = {
    "transformers.models.auto.configuration_auto": "oryx.config",
    "transformers.models.auto.modeling_auto": "oryx.model.modeling",
    "transformers.models.auto.processing_auto": "oryx.processing.processor",
}
_WATCHED = ("transformers.", "oryx.")


class _Depth(threading.local):
    """How many watched imports of this thread are inside each other."""

    value = 0


_depth = _Depth()


class _Finder(MetaPathFinder):
    """Finds what the usual finder finds, and notes when its import ends."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_WATCHED):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            _depth.value += 1
            try:
                execute(module)
            finally:
                _depth.value -= 1
            if _depth.value == 0:
                _catch_up()

        # The loader itself stays: `inspect` and `importlib.resources` ask it more than this.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _catch_up() -> None:
    for name, follower in _FOLLOWERS.items():
        if name in sys.modules and follower not in sys.modules:
            import_module(follower)


def install() -> None:
    """Called once, by `import oryx`."""
    sys.meta_path.insert(0, _Finder())
    _catch_up()
