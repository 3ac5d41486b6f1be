"""Where the media of rows are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oryx.errors import MediaError


@dataclass(frozen=True)
class Places:
    """The folder that relative paths start from, and the one that no path may leave."""

    folder: Path
    fence: Path | None = None
    """Resolved; None for none. The workers, which open the files, keep to it as well."""

    def path(self, name: str) -> Path:
        """The path of a file or a folder that is there.

        Raises:
            MediaError: it is not, or it is outside of the fence.
        """
        path = self.folder / name
        try:
            is_inside = self.fence is None or path.resolve().is_relative_to(self.fence)
            if is_inside and path.exists():
                return path
        except (OSError, ValueError):  # too long, or a null byte
            raise MediaError(f"{name[:200]!r} is no path.") from None
        if not is_inside:
            raise MediaError(f"{name!r} is outside of the media root {self.fence}.")
        raise MediaError(f"{name!r} does not exist; relative paths start from {self.folder}.")
