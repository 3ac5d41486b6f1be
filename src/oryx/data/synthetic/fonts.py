"""Font files on this machine, split by family into those for training and those only for testing.

The families below come, on Debian and Ubuntu, from these packages (any subset works):

    fonts-dejavu-core fonts-dejavu-extra fonts-liberation fonts-urw-base35 fonts-freefont-ttf
    fonts-noto-core fonts-roboto-unhinted fonts-inter fonts-firacode fonts-inconsolata fonts-fantasque-sans
    fonts-mononoki fonts-go fonts-linuxlibertine fonts-gfs-didot fonts-sil-gentium fonts-sil-charis
    fonts-sil-andika fonts-junicode fonts-comfortaa fonts-quicksand fonts-karla fonts-b612 fonts-play
    fonts-dosis fonts-national-park fonts-cardo fonts-adf-accanthis fonts-courier-prime
    (test) fonts-open-sans fonts-cantarell fonts-lato fonts-crosextra-carlito fonts-crosextra-caladea
    fonts-ebgaramond fonts-vollkorn fonts-jetbrains-mono fonts-cabin fonts-roboto-slab fonts-noto-core

Without any of them there is `"default"`, the one font inside Pillow.
"""

import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from PIL import ImageFont

from oryx.errors import ConfigError

DEFAULT_FONT = "default"

# Family -> styles, regular first, then bold, then slanted ("-": none). The order is the order of `num_fonts`:
# all regular styles from the plainest family to the oddest, then all bold ones, then all slanted ones.
TRAIN_FAMILIES: dict[str, tuple[str, str, str]] = {
    "DejaVu Sans": ("Book", "Bold", "Oblique"),
    "Liberation Sans": ("Regular", "Bold", "Italic"),
    "DejaVu Serif": ("Book", "Bold", "Italic"),
    "Liberation Serif": ("Regular", "Bold", "Italic"),
    "Roboto": ("Regular", "Bold", "Italic"),
    "Liberation Mono": ("Regular", "Bold", "Italic"),
    "URW Gothic": ("Book", "Demi", "Book Oblique"),
    "C059": ("Roman", "Bold", "Italic"),
    "Noto Serif": ("Regular", "Bold", "Italic"),
    "Inter": ("Regular", "Bold", "Italic"),
    "P052": ("Roman", "Bold", "Italic"),
    "DejaVu Sans Mono": ("Book", "Bold", "Oblique"),
    "Nimbus Sans": ("Regular", "Bold", "Italic"),
    "URW Bookman": ("Light", "Demi", "Light Italic"),
    "Linux Biolinum O": ("Regular", "Bold", "Italic"),
    "Fira Code": ("Regular", "Bold", "-"),
    "Charis SIL": ("Regular", "Bold", "Italic"),
    "Quicksand": ("Regular", "Bold", "-"),
    "Karla": ("Regular", "Bold", "Italic"),
    "FreeSerif": ("Regular", "Bold", "Italic"),
    "Andika": ("Regular", "Bold", "Italic"),
    "Go": ("Regular", "Bold", "Italic"),
    "Linux Libertine O": ("Regular", "Bold", "Italic"),
    "B612": ("Regular", "Bold", "Italic"),
    "Nimbus Mono PS": ("Regular", "Bold", "Italic"),
    "Gentium": ("Regular", "-", "Italic"),
    "Comfortaa": ("Regular", "Bold", "-"),
    "Inconsolata": ("Medium", "-", "-"),
    "Nimbus Roman": ("Regular", "Bold", "Italic"),
    "National Park": ("Regular", "Heavy", "-"),
    "Dosis": ("Medium", "Bold", "-"),
    "GFS Didot": ("Regular", "Bold", "Italic"),
    "FreeSans": ("Regular", "Bold", "Oblique"),
    "mononoki": ("Regular", "Bold", "Italic"),
    "Play": ("Regular", "Bold", "-"),
    "Junicode Two Beta": ("Regular", "Bold", "Italic"),
    "Liberation Sans Narrow": ("Regular", "Bold", "Italic"),
    "Fantasque Sans Mono": ("Regular", "Bold", "Italic"),
    "Cardo": ("Regular", "Bold", "Italic"),
    "Accanthis ADF Std": ("Regular", "Bold", "Italic"),
    "Go Mono": ("Regular", "Bold", "Italic"),
    "Courier Prime Code": ("Regular", "-", "Italic"),
    "B612 Mono": ("Regular", "Bold", "Italic"),
}
# Never trained on, nor is any family drawn alike (Noto Sans is close to Open Sans, Carlito to Lato).
TEST_FAMILIES: dict[str, tuple[str, str, str]] = {
    "Open Sans": ("Regular", "Bold", "Italic"),
    "Cantarell": ("Regular", "Bold", "-"),
    "Caladea": ("Regular", "Bold", "Italic"),
    "Carlito": ("Regular", "Bold", "Italic"),
    "EB Garamond": ("12 Regular", "12 Bold", "12 Italic"),
    "JetBrains Mono": ("Regular", "Bold", "Italic"),
    "Vollkorn": ("Regular", "Bold", "Italic"),
    "Cabin": ("Regular", "Bold", "Italic"),
    "Roboto Slab": ("Regular", "Bold", "-"),
    "Lato": ("Regular", "Bold", "Italic"),
    "Noto Sans": ("Regular", "Bold", "Italic"),
}
_PACKAGES = {
    "train": "fonts-dejavu-core, fonts-liberation, fonts-urw-base35",
    "test": "fonts-open-sans, fonts-cantarell, fonts-crosextra-caladea",
}


@dataclass(frozen=True)
class FontFile:
    """One style of one family; `path` is "" for Pillow's own font."""

    family: str
    style: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.family} {self.style}"


def choose_fonts(
    fonts: str | Sequence[str], num_fonts: int | None = None, folders: Sequence[str] = ()
) -> list[FontFile]:
    """The fonts that exist here of "train", of "test", or of a list of family names ("default" among them).

    `folders` are searched, with everything below them, besides the system's. `num_fonts` keeps the first so
    many.
    Raises `ConfigError` where none is installed, naming the packages, or where a named family or a folder
    does not exist.
    """
    folders = [folders] if isinstance(folders, str) else list(folders)
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"Setting 'font_folders' names {str(folder)!r}, which is not a folder.")
    found = find_fonts(tuple(folders))
    if isinstance(fonts, str):
        tables = {"train": TRAIN_FAMILIES, "test": TEST_FAMILIES}
        if fonts not in tables:
            raise ConfigError(
                f"Setting 'fonts' is {fonts!r}; it must be train, test or a list of family names."
            )
        chosen = _in_order(found, tables[fonts])
        if not chosen:
            raise ConfigError(
                f"No {fonts} font is installed; install for example the Debian packages {_PACKAGES[fonts]}, "
                f"give folders of font files in 'font_folders', or set 'fonts' to ['{DEFAULT_FONT}']."
            )
    else:
        chosen = []
        for family in fonts:
            styles = _styles_of(found, family)
            if not styles:
                # All that are installed would be too long a list.
                known = [DEFAULT_FONT, *sorted({font.family for font in found})]
                close = get_close_matches(family, known, n=1, cutoff=0.5)
                hint = f"; did you mean {close[0]!r}?" if close else "."
                raise ConfigError(f"Font family {family!r} is not installed{hint}")
            chosen += styles
        if not chosen:
            raise ConfigError("Setting 'fonts' is an empty list; it must be train, test or family names.")
    return chosen[:num_fonts]


@functools.cache
def find_fonts(folders: tuple[str, ...] = ()) -> tuple[FontFile, ...]:
    """Every readable .ttf and .otf file of the system's font folders and of `folders`, sorted by path."""
    fonts = []
    for root in [*map(Path, folders), *_system_folders()]:
        paths = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(root)
            for name in names
            if name.lower().endswith((".ttf", ".otf"))
        ]
        for path in sorted(paths):
            try:
                family, style = ImageFont.truetype(path, 16, layout_engine=ImageFont.Layout.BASIC).getname()
            except OSError:  # not a font after all: this is a search, not a file the user named
                continue
            fonts.append(FontFile(family or "", style or "", path))
    return tuple(fonts)


@functools.lru_cache(maxsize=4096)
def load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels per em; path "" is Pillow's own font."""
    if path:
        return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ConfigError(
            "This Pillow has no FreeType, which drawing text needs; install Pillow's own wheel."
        )
    return font


def _styles_of(found: Sequence[FontFile], family: str) -> list[FontFile]:
    """The fonts of one family: its listed styles if the family is in a table, else all of them."""
    if family == DEFAULT_FONT:
        return [FontFile(DEFAULT_FONT, "Regular", "")]
    for table in (TRAIN_FAMILIES, TEST_FAMILIES):
        if family in table:
            return _in_order(found, {family: table[family]})
    return [font for font in found if font.family == family]


def _in_order(found: Sequence[FontFile], table: dict[str, tuple[str, str, str]]) -> list[FontFile]:
    """The table's fonts that exist: every family's first style, then the second ones, then the third."""
    by_name: dict[tuple[str, str], FontFile] = {}
    for font in found:  # of two files with one name the first counts
        by_name.setdefault((font.family, font.style), font)
    names = [(family, styles[column]) for column in range(3) for family, styles in table.items()]
    return [by_name[name] for name in names if name in by_name]


def _system_folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        return [Path("C:/Windows/Fonts"), home / "AppData/Local/Microsoft/Windows/Fonts"]
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".local/share/fonts",
        home / ".fonts",
    ]
