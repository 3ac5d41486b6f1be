"""The free packages that pictures come from: how each is recognised, read and credited.

Nothing here downloads: the packages are fetched by name (`npm pack`, `apt-get download`) and unpacked first.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from oryx.errors import ConfigError, MediaError

_RENDERED_SIDE = 256
_CLIPART_TAIL = ("share", "openclipart", "png")


@dataclass(frozen=True)
class Style:
    """One set of pictures drawn alike."""

    name: str
    key: str
    """Which list of `things.yaml` names its pictures."""
    package: str
    """Package that holds it, as its registry names it."""
    fetch: str
    """Command that fetches the package."""
    credit: str
    licence: str
    folder: str = ""
    """Where its pictures are inside the package; "" for icons that one JSON file holds."""
    suffix: str = ""
    trained: bool = True
    """Whether pictures of this style may be trained on at all."""


STYLES: dict[str, Style] = {
    style.name: style
    for style in (
        Style(
            "fluent-3d", "emoji", "@lobehub/fluent-emoji-3d", "npm pack @lobehub/fluent-emoji-3d",
            "Fluent Emoji (3D), Microsoft, packaged by LobeHub", "MIT", "assets", ".webp",
        ),
        Style(
            "fluent-flat", "emoji", "@lobehub/fluent-emoji-flat", "npm pack @lobehub/fluent-emoji-flat",
            "Fluent Emoji (flat), Microsoft, packaged by LobeHub", "MIT", "assets", ".svg",
        ),
        Style(
            "twemoji", "emoji", "emoji-datasource-twitter", "npm pack emoji-datasource-twitter",
            "Twemoji, Twitter, Inc. and other contributors", "CC-BY-4.0", "img/twitter/64", ".png",
        ),
        Style(
            "emojione", "emojione", "@iconify-json/emojione", "npm pack @iconify-json/emojione",
            "Emoji One 2, Emoji One", "CC-BY-4.0",
        ),
        Style(
            "fxemoji", "fxemoji", "@iconify-json/fxemoji", "npm pack @iconify-json/fxemoji",
            "FxEmojis, Mozilla", "Apache-2.0",
        ),
        Style(
            "streamline", "streamline", "@iconify-json/streamline-emojis",
            "npm pack @iconify-json/streamline-emojis", "Streamline Emojis, Streamline", "CC-BY-4.0",
        ),
        Style(
            "clipart", "clipart", "openclipart-png", "apt-get download openclipart-png",
            "Open Clip Art Library, its contributors", "public domain", "png", ".png",
        ),
        Style(
            "noto", "emoji", "emoji-datasource-google", "npm pack emoji-datasource-google",
            "Noto Emoji, Google", "Apache-2.0", "img/google/64", ".png", trained=False,
        ),
    )
}  # fmt: skip


class StyleReader:
    """The pictures of one style inside an unpacked package."""

    def __init__(self, style: Style, root: Path) -> None:
        self.style = style
        self._root = root / style.folder if style.folder else root
        self._icons: dict[str, dict] = {}
        self._size = (0.0, 0.0)
        self._by_code: dict[str, str] = {}
        if not style.folder:
            self._read_icons(root / "icons.json")
        elif style.key == "emoji":
            files = sorted(self._root.glob(f"*{style.suffix}"))
            self._by_code = {_code_of(path.stem): path.name for path in files}

    def find(self, wanted: Iterable[str]) -> list[str]:
        """Those of the wanted characters, icon names or file names that exist, as names for `open`."""
        if self._icons:
            return [name for name in wanted if name in self._icons]
        if self.style.key == "emoji":
            codes = ("-".join(f"{ord(character):04x}" for character in text) for text in wanted)
            return [self._by_code[code] for code in map(_code_of, codes) if code in self._by_code]
        names = (f"{name}{self.style.suffix}" for name in wanted)
        return [name for name in names if (self._root / name).is_file()]

    def open(self, name: str) -> Image.Image:
        """One picture with its transparency (RGBA). Raises `MediaError` if it cannot be read."""
        try:
            if self._icons:
                return _rendered(self._icon_svg(name))
            path = self._root / name
            if path.suffix == ".svg":
                return _rendered(path.read_text(encoding="utf-8"))
            with Image.open(path) as image:
                return image.convert("RGBA")
        except (OSError, ValueError) as error:
            raise MediaError(f"{self.style.name} picture {name} cannot be read ({error}).") from None

    def _read_icons(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self._icons = dict(content["icons"])
            self._size = (content.get("width", 16), content.get("height", 16))  # Iconify's default is 16
        except (OSError, ValueError, KeyError) as error:
            raise MediaError(f"{path} cannot be read as Iconify JSON ({error!r}).") from None

    def _icon_svg(self, name: str) -> str:
        icon = self._icons[name]
        box = [icon.get("left", 0), icon.get("top", 0)]
        box += [icon.get("width", self._size[0]), icon.get("height", self._size[1])]
        view = " ".join(map(str, box))
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}">{icon["body"]}</svg>'


def find_sources(folders: Iterable[Path]) -> dict[str, StyleReader]:
    """Style name -> its reader, for every package that lies unpacked anywhere below the folders.

    The first of several copies counts. Raises `ConfigError` for a folder that does not exist.
    """
    by_package = {style.package: style for style in STYLES.values()}
    found: dict[str, StyleReader] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder; --from takes folders of unpacked packages.")
        for place, subfolders, files in os.walk(folder):
            subfolders.sort()
            path = Path(place)
            style = None
            if path.parts[-3:] == _CLIPART_TAIL:
                style, path = by_package["openclipart-png"], path.parent
            elif "package.json" in files:
                style = by_package.get(_package_name(path / "package.json"))
            if style is not None:
                subfolders.clear()
                if style.name not in found:
                    found[style.name] = StyleReader(style, path)
    return found


def _package_name(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # somebody else's file: this is a search
        return ""
    return str(content.get("name", "")) if isinstance(content, Mapping) else ""


def _code_of(stem: str) -> str:
    """Code points without the variation selector, which sets write or leave out."""
    return "-".join(code for code in stem.lower().split("-") if code != "fe0f")


def _rendered(svg: str) -> Image.Image:
    try:
        import resvg_py
    except ImportError:
        raise ConfigError("Drawings in SVG need resvg-py: pip install 'oryx-mllm[materials]'.") from None
    data = resvg_py.svg_to_bytes(svg_string=svg, width=_RENDERED_SIDE, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(data))) as image:
        return image.convert("RGBA")
