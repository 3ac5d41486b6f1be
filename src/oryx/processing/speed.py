"""How fast one machine runs one model: measured by `oryx plan --calibrate`, kept in the user's cache folder.

Reading it needs no torch. `engine.calibration` measures it.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from itertools import product
from pathlib import Path

from oryx.errors import ConfigError
from oryx.processing.costs import ModelSizes
from oryx.processing.geometry import View
from oryx.processing.memory import CHUNK_PATCHES, CHUNK_VIEWS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speed:
    """Seconds that each part takes. All are at least 0."""

    call: float
    """Each call of the tower, compressor and projector, whatever it holds."""
    view: float
    """Each view of a call."""
    patch: float
    """Each patch, in the linear layers."""
    patch_pair: float
    """Each pair of patches of one view, in attention."""
    prefill: float
    """The language model's first pass, whatever its length."""
    position: float
    """Each position of the prompt."""
    position_pair: float
    """Each pair of positions, in attention."""
    open_file: float
    """Each file that is opened."""
    picture_pixel: float
    """Each pixel of a picture file: decoded and resized."""
    picture_byte: float
    """Each byte of a picture file."""
    view_pixel: float
    """Each pixel of one of several pictures, which are resized side by side."""
    frame: float
    """Each frame that is taken from a video."""
    frame_pixel: float
    """Each pixel of such a frame: converted and resized."""
    decoded_pixel: float
    """Each pixel of a frame that a decoder goes through, where one goes through all."""
    sought_pixel: float
    """The same where decoders go through stretches of a video side by side."""
    request: float = 0.0
    """Each request, beside its parts: threads, the tokenizer, the prompt."""
    overlap: float = 0.0
    """Share of the shorter one of reading and encoding that the other hides, 0 to 1."""
    dtype: str = "float32"
    """What the model computed in."""

    def vision_seconds(self, views: Iterable[View]) -> float:
        """Tower, compressor and projector over all views, in chunks."""
        lengths = [view.num_patches for view in views]
        if not lengths:
            return 0.0
        total = sum(lengths)
        calls = max(1, round(total / CHUNK_PATCHES), -(-len(lengths) // CHUNK_VIEWS))
        pairs = sum(length * length for length in lengths)
        return calls * self.call + len(lengths) * self.view + total * self.patch + pairs * self.patch_pair

    def prefill_seconds(self, num_positions: int) -> float:
        """The language model's first pass over so many positions."""
        return self.prefill + num_positions * self.position + num_positions**2 * self.position_pair

    def encode_seconds(self, reading: float, vision: float) -> float:
        """Reading and encoding together, as far as they run side by side."""
        return reading + vision - self.overlap * min(reading, vision)


def speed_key(sizes: ModelSizes, dtype: str, device: str) -> str:
    """Name of a calibration: what of a model its speed depends on, and the dtype and device asked for."""
    shape = (asdict(sizes.vision), asdict(sizes.text), sizes.compressor_dim, sizes.quantize)
    return f"{blake2b(repr(shape).encode(), digest_size=8).hexdigest()} {dtype} {device}"


def calibration_file() -> Path:
    """`calibration.json` in the user's cache folder for oryx."""
    from platformdirs import user_cache_path

    return user_cache_path("oryx", appauthor=False) / "calibration.json"


def read_speed(
    sizes: ModelSizes, dtype: str = "auto", device: str = "auto", file: Path | None = None
) -> Speed | None:
    """The machine's speed for a model; None if it was not calibrated for this dtype and device."""
    entry = _read(file or calibration_file()).get(speed_key(sizes, dtype, device))
    known = {field.name for field in fields(Speed)}
    if not isinstance(entry, Mapping) or set(entry) != known:  # of another release
        return None
    return Speed(**entry)


def write_speed(
    speed: Speed,
    sizes: ModelSizes,
    dtypes: Iterable[str],
    devices: Iterable[str],
    file: Path | None = None,
) -> Path:
    """Keep a calibration beside those of other models.

    Args:
        dtypes, devices: names under which it will be asked for: "auto", and what that came to.

    Raises:
        ConfigError: the folder cannot be written.
    """
    file = file or calibration_file()
    content = _read(file)
    for dtype, device in product(dtypes, devices):
        content[speed_key(sizes, dtype, device)] = asdict(speed)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise ConfigError(f"the calibration cannot be kept in {file} ({error}).") from None
    return file


def _read(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read (%s): calibrate anew", file, error)
        return {}
    return content if isinstance(content, dict) else {}
