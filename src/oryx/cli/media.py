"""From arguments to visuals: what each file is by its content, and where the question stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError, MediaError


def check_question(question: str, media: Sequence[str] | None) -> None:
    """Raises ConfigError for a last argument that is a medium, or blank: the question was left out.

    A single word that ends like a picture or a video is taken for one, unless media stand before it.
    """
    guessed = (guess_type(question)[0] or "").startswith(("image/", "video/"))
    if not media and guessed and len(question.split()) == 1 and not _exists(question):
        raise ConfigError(
            f"'{question}' does not exist, and the question is missing: it comes last, as in: "
            'oryx ask cat.jpg "What is this?"'
        )
    if _exists(question):
        raise ConfigError(
            f"the question is missing: '{question}' is a file or a folder; the question comes last, "
            'as in: oryx ask cat.jpg "What is this?"'
        )
    if not question.strip():
        raise ConfigError("the question is empty; it is the last argument.")


def read_media(
    media: Sequence[str], dials: Mapping[str, Any], as_views: bool = False
) -> list[dict[str, Any]]:
    """One visual dict for each file or folder, dials included; with `as_views` one for all pictures.

    A folder is a set of views. If `max_frames` or `fps` is turned it is a video's frames, from which some are
    chosen.

    Raises:
        MediaError: something that is no picture, video or folder of pictures, as far as its header tells.
        ConfigError: a dial that none of the media takes.
    """
    from oryx.processing.visuals import kinds_with_dial, with_dials

    kinds = [_kind(name) for name in media]
    if as_views and media:
        visuals: list[dict[str, Any]] = [{"type": "views", "views": _pictures(media, kinds)}]
    else:
        chooses = "max_frames" in dials or "fps" in dials
        visuals = []
        for name, kind in zip(media, kinds):
            kind = "video" if kind == "views" and chooses else kind
            visuals.append({"type": kind, kind: name})
    turned = [with_dials(visual, dials) for visual in visuals]
    for dial in dials:
        if not any(dial in visual for visual in turned):
            takers = " or ".join(kinds_with_dial(dial))
            raise ConfigError(f"--{dial.replace('_', '-')} turns nothing here; it needs {takers} to turn.")
    return turned


def _pictures(media: Sequence[str], kinds: Sequence[str]) -> list[str]:
    from oryx.media.views import list_views

    pictures: list[str] = []
    for name, kind in zip(media, kinds):
        if kind == "video":
            raise MediaError(f"'{name}' is a video; --views takes pictures and folders of pictures.")
        pictures += [str(view) for view in list_views(name)] if kind == "views" else [name]
    return pictures


def _kind(name: str) -> str:
    """ "image", "video" or "views". Content decides; the ending only chooses whose complaint is passed on."""
    from PIL import Image

    from oryx.media.container import open_container
    from oryx.media.image import ADDRESS, is_animated, open_file, open_header
    from oryx.processing.visuals import visual_source

    if name == "-" or re.match(ADDRESS, name):
        visual_source({"type": "video", "video": name}, "video")
        open_file(name, "a video").close()
    if not _exists(name):
        raise MediaError(
            f"'{name}' does not exist; a picture, a video or a folder is needed there "
            "(the question comes last, in quotes)."
        )
    if Path(name).is_dir():
        return "views"
    try:
        with open_header(name) as image:
            # Pillow knows the format of bare MPEG streams, but does not read them.
            return "video" if image.format == "MPEG" or is_animated(name) else "image"
    except MediaError as error:
        no_picture = error
    try:
        with open_container(name, threads=False):
            return "video"
    except MediaError as error:
        no_video = error
    path = Path(name)
    if (guess_type(name)[0] or "").startswith("video/"):
        raise no_video
    if path.suffix.lower() in Image.registered_extensions() or not path.stat().st_size:
        raise no_picture
    raise MediaError(f"'{name}' is neither a picture nor a video that can be read, nor a folder of pictures.")


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a question too long for a path, or with a null byte
        return False
