"""Identity from instance masks."""

from pathlib import Path

import numpy as np
import pytest
from made_scenes import MadeScene
from PIL import Image

from oryx.data.builders.correspondence.scenes import open_scene
from oryx.data.builders.correspondence.sights import measure
from oryx.data.builders.correspondence.sources.masks import MaskSource, read_mask
from oryx.errors import MediaError


def test_scannets_masks_hold_the_object_id_and_one(made: MadeScene, scannet: Path) -> None:
    found = MaskSource().identify(open_scene(scannet), [0, 2, 4])
    assert found.labels == {0: "chair", 1: "table", 2: "shelf", 3: "lamp"}
    for place, view in enumerate((0, 2, 4)):
        true = measure(made.shots[view].ids)
        seen = {name + 1: views[place] for name, views in found.sights.items() if place in views}
        assert seen == true


def test_plain_masks_hold_the_id(made: MadeScene, plain: Path) -> None:
    found = MaskSource().identify(open_scene(plain), [3])
    assert {name: views[0] for name, views in found.sights.items()} == measure(made.shots[3].ids)


def test_a_smaller_mask_is_measured_in_the_views_pixels(plain: Path) -> None:
    view, mask = plain / "views" / "view0.png", plain / "masks" / "view0.png"
    before = MaskSource().identify(open_scene(plain), [0])
    Image.open(view).resize((480, 360)).save(view)
    after = MaskSource().identify(open_scene(plain), [0])
    assert Image.open(mask).size == (160, 120)
    for name, views in before.sights.items():
        assert after.sights[name][0] == views[0].scaled(3, 3)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA"])
def test_kinds_of_pixels(tmp_path: Path, mode: str) -> None:
    ids = np.array([[0, 1], [1, 0]]) if mode == "1" else np.array([[0, 3], [200, 7]])
    if mode in ("I;16", "RGB", "RGBA"):
        ids = ids * 300
    if mode.startswith("RGB"):
        parts = [ids % 256, ids // 256, ids * 0] + ([ids * 0 + 255] if mode == "RGBA" else [])
        image = Image.fromarray(np.stack(parts, -1).astype(np.uint8))
    elif mode == "P":
        image = Image.fromarray(ids.astype(np.uint8), "L").convert("P")
        image.putdata(ids.ravel().tolist())
    else:
        kind = {"1": bool, "L": np.uint8, "I;16": np.uint16}[mode]
        image = Image.fromarray(ids.astype(kind))
    image.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == ids.tolist()


def test_what_is_no_mask(plain: Path, tmp_path: Path) -> None:
    Image.new("LA", (4, 4)).save(tmp_path / "two.png")
    with pytest.raises(MediaError, match="mode 'LA'"):
        read_mask(tmp_path / "two.png")
    whole = (plain / "masks" / "view0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match="truncated or broken"):
        read_mask(tmp_path / "cut.png")


def test_a_missing_mask_is_named(plain: Path) -> None:
    (plain / "masks" / "view1.png").unlink()
    with pytest.raises(MediaError, match=r"view1\.png' does not exist"):
        MaskSource().identify(open_scene(plain), [0, 1])


def test_a_mask_of_another_aspect(plain: Path) -> None:
    Image.new("L", (120, 120)).save(plain / "masks" / "view0.png")
    with pytest.raises(MediaError, match="120 x 120 pixels does not fit its view of 120 x 160"):
        MaskSource().identify(open_scene(plain), [0])


def test_a_scene_without_masks(plain: Path) -> None:
    (plain / "masks").rename(plain / "others")
    with pytest.raises(MediaError, match="has no instance masks"):
        MaskSource().identify(open_scene(plain), [0])
