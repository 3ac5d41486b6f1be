"""A furniture catalogue of plain boxes, made on the spot."""

import zipfile
from pathlib import Path

from oryx.data.rooms.catalogue import PROPERTIES

# Name in the catalogue, size in centimetres (width, depth, height), colour, height of the top if it has one.
BOXES = (
    ("Chair", (45, 45, 90), (0.9, 0.1, 0.1), None),
    ("Table", (120, 80, 72), (0.1, 0.8, 0.1), 72),
    ("Bed", (140, 200, 55), (0.1, 0.1, 0.9), None),
    ("Wardrobe", (100, 60, 190), (0.8, 0.8, 0.1), None),
    ("Lamp", (25, 25, 45), (0.8, 0.1, 0.8), None),
)
_FACES = ("1 2 3 4", "8 7 6 5", "1 5 6 2", "2 6 7 3", "3 7 8 4", "4 8 5 1")


def write_catalogue(path: Path, boxes=BOXES, extra: str = "") -> Path:
    """A `.sh3f` file of boxes; `extra` is added to its properties."""
    lines = ["id=Test#boxes", "name=Boxes", "license=CC0", extra]
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, (width, depth, height), color, top) in enumerate(boxes, 1):
            place = f"boxes/box{number}"
            lines += [f"id#{number}={path.stem}#box{number}", f"name#{number}={name}"]
            lines += [f"model#{number}=/{place}.obj", f"creator#{number}=Ann Author"]
            lines += [f"width#{number}={width}", f"depth#{number}={depth}", f"height#{number}={height}"]
            lines += [] if top is None else [f"dropOnTopElevation#{number}={top}"]
            archive.writestr(f"{place}.obj", _obj(f"box{number}.mtl"))
            archive.writestr(f"{place}.mtl", "newmtl own\nKd {} {} {}\n".format(*color))
        archive.writestr(PROPERTIES, "\n".join(lines).encode("latin-1"))
    return path


def _obj(material: str) -> str:
    """A unit cube, y up, in an OBJ file's own axes; a model is scaled to its catalogue's size."""
    corners = [(x, y, z) for y in (0, 1) for x, z in ((0, 0), (1, 0), (1, 1), (0, 1))]
    lines = [f"mtllib {material}", "usemtl own"]
    lines += [f"v {x} {y} {z}" for x, y, z in corners]
    return "\n".join([*lines, *(f"f {face}" for face in _FACES)]) + "\n"
