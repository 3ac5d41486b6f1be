"""Oryx on demand: images, videos and multi-view 3D scenes at any size and length.

    import oryx
    model, processor = oryx.load("nano")

Importing the package registers it with the Auto classes of `transformers`. Names are looked up when first
used, so that `oryx --help` and the planner do not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oryx._autoregister import install

__version__ = "0.1.0"

_HOMES = {
    "load": "oryx.loading",
    "encode": "oryx.engine.encode",
    "Session": "oryx.engine.session",
    "VisualTokenCache": "oryx.engine.cache",
    "convert": "oryx.checkpoints.convert",
    "OryxConfig": "oryx.config",
    "OryxVisionConfig": "oryx.config",
    "OryxForConditionalGeneration": "oryx.model.modeling",
    "OryxVisionModel": "oryx.model.vision",
    "OryxProcessor": "oryx.processing.processor",
    "OryxError": "oryx.errors",
}
__all__ = [
    "OryxConfig",
    "OryxError",
    "OryxForConditionalGeneration",
    "OryxProcessor",
    "OryxVisionConfig",
    "OryxVisionModel",
    "Session",
    "VisualTokenCache",
    "__version__",
    "convert",
    "encode",
    "load",
]

if TYPE_CHECKING:
    from oryx.checkpoints.convert import convert
    from oryx.config import OryxConfig, OryxVisionConfig
    from oryx.engine.cache import VisualTokenCache
    from oryx.engine.encode import encode
    from oryx.engine.session import Session
    from oryx.errors import OryxError
    from oryx.loading import load
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.model.vision import OryxVisionModel
    from oryx.processing.processor import OryxProcessor


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oryx' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


install()
