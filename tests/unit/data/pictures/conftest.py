"""Unpacked packages of a few tiny pictures, in the layouts of the real ones."""

import json

import pytest
from PIL import Image, ImageDraw

# Character, colour; code points as the sets write them, with and without the variation selector.
CAT, DOG, TELEVISION = "1f431", "1f436", "1f4fa"


def draw(path, color, size=40, margin=10):
    """A disc on nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((margin, margin, size - margin - 1, size - margin - 1), fill=color)
    image.save(path)


def package(root, name):
    """The package's folder, with its manifest."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "package.json").write_text(json.dumps({"name": name}))
    return root


@pytest.fixture
def packages(tmp_path):
    """Folder with three sets of cats and dogs, and clip art of cats."""
    root = tmp_path / "packages"
    fluent = package(root / "a" / "fluent", "@lobehub/fluent-emoji-3d")
    for number, code in enumerate((CAT, DOG)):
        draw(fluent / "assets" / f"{code}.webp", (200, 50 * number, 0), size=200)
    for name, folder in (("emoji-datasource-twitter", "twitter"), ("emoji-datasource-google", "google")):
        sets = package(root / name / "package", name)
        for code in (CAT, DOG):
            draw(sets / "img" / folder / "64" / f"{code}.png", (0, 0, 250))
    package(root / "other", "left-pad")
    cats = root / "deb" / "usr" / "share" / "openclipart" / "png" / "animals" / "mammals" / "housecats"
    for number in (1, 2, 3, 4):
        draw(cats / f"gatto_cat_architetto_fra_0{number}.png", (0, 100 + 20 * number, 0))
    draw(cats / "kitten_gerald_g._01.png", (9, 9, 9))
    draw(cats / "not_a_cat_01.png", (9, 9, 9))
    return root
