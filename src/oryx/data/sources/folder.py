"""A folder of media: captions in text files beside them, or one `metadata.jsonl` that names the media."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from oryx.data.sources.base import Source, file_identity, folder_identity
from oryx.data.sources.llava import find_lines, read_line
from oryx.data.sources.media import Opener
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError, MediaError
from oryx.media.views import IMAGE_SUFFIXES, natural_key

METADATA = "metadata.jsonl"
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mxf", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
CAPTION_SUFFIX = ".txt"


class CaptionFolder(Source):
    """Every picture and video of a folder and of those inside it, with the `.txt` file beside it."""

    def __init__(self, settings: SourceSettings, path: Path) -> None:
        super().__init__(settings)
        if settings.media_root is not None:
            raise ConfigError(
                f"media_root is for records that name their media; those of the folder {path} lie in it."
            )
        self.path = path
        files = [file for file in path.rglob("*") if media_kind(file.name) and file.is_file()]
        names = [file.relative_to(path) for file in sorted(files, key=_order)]
        # Folders of thumbnails and checkpoints, which tools leave, are hidden ones.
        self.names = [str(name) for name in names if not any(part.startswith(".") for part in name.parts)]
        if not self.names:
            raise ConfigError(f"the folder {path} holds no picture and no video to train on.")

    def __len__(self) -> int:
        return len(self.names)

    def entry(self, index: int) -> tuple[Any, Opener]:
        file = self.path / self.names[index]
        caption = file.with_suffix(CAPTION_SUFFIX)
        try:
            text = caption.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise MediaError(f"there is no {caption.name} beside it, which would be its caption.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise MediaError(f"its caption {caption.name} cannot be read ({error}).") from None
        return {media_kind(file.name): self.names[index], "caption": text}, Opener(self.path)

    def place(self, index: int) -> str:
        return str(self.path / self.names[index])

    def identity(self) -> Any:
        return self._identity

    @cached_property
    def _identity(self) -> Any:
        media = [self.path / name for name in self.names]
        captions = [file.with_suffix(CAPTION_SUFFIX) for file in media]
        return folder_identity(self.path, [*media, *captions])


class MetadataFolder(Source):
    """Lines of `metadata.jsonl`: `file_name` or `file_names`, and a record's other keys."""

    def __init__(self, settings: SourceSettings, path: Path) -> None:
        super().__init__(settings)
        self.file = path / METADATA
        self.opener = Opener(Path(settings.media_root) if settings.media_root is not None else path)
        self._identity = file_identity(self.file)
        self._lines = find_lines(self.file)
        if not len(self._lines):
            raise ConfigError(f"{self.file} holds no records.")

    def __len__(self) -> int:
        return len(self._lines)

    def entry(self, index: int) -> tuple[Any, Opener]:
        entry = read_line(self.file, self._lines[index])
        if not isinstance(entry, dict):
            raise ConfigError("the line must be an object with a file_name.")
        names = entry.pop("file_names", None) or [entry.pop("file_name", None)]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError("file_name must be the name of a picture or a video.")
        visuals = []
        for name in names:
            kind = media_kind(name)
            if kind is None:
                raise MediaError(f"{name} does not end like a picture or a video.")
            visuals.append({"type": kind, kind: name})
        return {**entry, "visuals": visuals}, self.opener

    def place(self, index: int) -> str:
        return f"{self.file} line {self._lines[index, 2]}"

    def identity(self) -> Any:
        return [self._identity, self.opener.place]


def open_folder(settings: SourceSettings, path: Path) -> Source:
    """The folder, by whichever of the two ways it names its captions."""
    return MetadataFolder(settings, path) if (path / METADATA).is_file() else CaptionFolder(settings, path)


def media_kind(name: str) -> str | None:
    """ "image" or "video" by the ending; None for anything else, and for hidden files."""
    suffix = Path(name).suffix.lower()
    if Path(name).name.startswith("."):
        return None
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _order(file: Path) -> tuple[str, Any]:
    return str(file.parent), natural_key(file)
