"""What a medium is, whatever it is called: a hash of its bytes or pixels."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oryx.media.image import open_file
from oryx.media.views import list_views
from oryx.processing.visuals import visual_source, visual_type

# A file changed so lately may change again without a new time: clocks of file systems tick in milliseconds
# (some in 2 s). Its hash is not remembered.
SETTLED_SECONDS = 2.0
ORIENTATION_TAG = 0x0112

Signature = tuple[str, int, int, int, int, int]


class ContentHasher:
    """Hashes of media. A file is read once and known again by path, size, times and inode. Thread-safe.

    The change time is among them: unlike the modification time, no program can set it back.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Signature, bytes]] = {}
        self._lock = threading.Lock()

    def of_visual(self, visual: Mapping[str, Any]) -> bytes | None:
        """Digest of a visual dict's source; None for a source of a kind that has no stable content.

        Raises:
            ConfigError, MediaError: a visual without a source, or a file that cannot be read.
        """
        kind = visual_type(visual)
        digest = hashlib.blake2b(digest_size=32)
        named = self._feed(digest, visual_source(visual, kind), "a picture" if kind == "image" else "a video")
        return digest.digest() if named else None

    def of_file(self, path: str | Path, kind: str = "a file") -> bytes:
        """Digest of a file's bytes."""
        with open_file(path, kind) as file:
            name = os.path.realpath(path)
            stat = os.fstat(file.fileno())
            changed = max(stat.st_mtime_ns, stat.st_ctime_ns)
            signature = (name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_dev, stat.st_ino)
            with self._lock:
                known = self._known.get(name)
            if known is not None and known[0] == signature:
                return known[1]
            is_settled = time.time() - changed / 1e9 > SETTLED_SECONDS  # before it is read
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).digest()
        if is_settled:
            with self._lock:
                self._known[name] = (signature, digest)
        return digest

    def _feed(self, digest: Any, source: Any, kind: str) -> bool:
        """Whether the source could be fed to the digest. Every part is framed by what and how long it is."""
        if isinstance(source, str | Path) and Path(source).is_dir():
            source = list_views(source)
        if isinstance(source, str | Path):
            # The ending helps libav to tell raw streams apart.
            _frame(digest, "file", Path(source).suffix.lower())
            digest.update(self.of_file(source, kind))
        elif isinstance(source, bytes | bytearray):
            _frame(digest, "bytes", len(source))
            digest.update(source)
        elif isinstance(source, Image.Image):
            _feed_picture(digest, source)
        elif isinstance(source, np.ndarray) and source.dtype != object:
            _frame(digest, "array", source.dtype.str, source.shape)
            digest.update(np.ascontiguousarray(source).data)
        elif isinstance(source, list | tuple):
            _frame(digest, "list", len(source))
            return all(self._feed(digest, part, kind) for part in source)
        else:
            return False
        return True


def _feed_picture(digest: Any, image: Image.Image) -> None:
    """Everything of a Pillow image that changes its RGB pixels: also palette, transparency, orientation."""
    palette = image.getpalette("RGBA") if image.mode in ("P", "PA") else None
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # Pillow's readers raise all kinds on a broken EXIF block, which then has no say
        orientation = 1
    pixels = image.tobytes()
    transparency = image.info.get("transparency")
    _frame(digest, "picture", image.mode, image.size, palette, repr(transparency), orientation, len(pixels))
    digest.update(pixels)


def _frame(digest: Any, *parts: Any) -> None:
    digest.update(repr(parts).encode() + b"\0")
