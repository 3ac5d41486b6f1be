"""Draws the examples of this folder: `python examples/make_examples.py [FOLDER]`.

Every file depends on this script alone (and on the versions of Pillow and PyAV that write it). Text is in
Pillow's own font, so no font needs to be installed. What is not made here has its credits in README.md.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import av
from PIL import Image, ImageDraw

from oryx.data.synthetic.drawing import COLORS, RGB, flat
from oryx.data.synthetic.fonts import DEFAULT_FONT, choose_fonts, load_font
from oryx.data.synthetic.scenes import Thing, paste

WHITE: RGB = (255, 255, 255)
GRAY: RGB = (230, 230, 230)
DARK_BLUE: RGB = (20, 40, 90)
SIDE = 96
FPS = 4


def draw_word(word: str, size: int, ink: RGB, paper: RGB, margin: int = 6) -> Image.Image:
    """A word in Pillow's own font, `size` pixels per em, with `margin` pixels around its ink."""
    font = load_font(choose_fonts([DEFAULT_FONT])[0].path, size)
    left, top, right, bottom = map(round, font.getbbox(word, anchor="ls"))
    image = Image.new("RGB", (right - left + 2 * margin, bottom - top + 2 * margin), paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), word, fill=ink, font=font, anchor="ls")
    return image


def draw_page(lines: Sequence[str], size: int, margin: int = 8) -> Image.Image:
    """Lines of text, black on white, in Pillow's own font."""
    font = load_font(choose_fonts([DEFAULT_FONT])[0].path, size)
    step = round(1.3 * size)
    width = max(round(font.getlength(line)) for line in lines) + 2 * margin
    image = Image.new("RGB", (width, step * len(lines) + 2 * margin), WHITE)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((margin, margin + step * number), line, fill=(0, 0, 0), font=font)
    return image


def make_thing(name: str, y: float, x: float, size: int) -> Thing:
    """The plain form of "red circle", centred at (y, x), `size` pixels wide."""
    color, shape = name.split()
    return Thing(shape, color, y, x, size, 0, COLORS[color][0])


def draw_scene(
    things: Sequence[Thing], height: int = SIDE, width: int = SIDE, paper: RGB = WHITE
) -> Image.Image:
    """The things on a background of one colour."""
    image = flat(paper).paint(random.Random(0), height, width)
    for thing in things:
        paste(image, thing)
    return image


def order_frames() -> list[Image.Image]:
    """12 frames: a red circle, then a blue square, then a green triangle."""
    shown = [("red circle", 30, 30), ("blue square", 62, 60), ("green triangle", 34, 64)]
    return [
        draw_scene([make_thing(name, y + step % 2, x + step, 30)], paper=GRAY)
        for name, y, x in shown
        for step in range(4)
    ]


def moving_frames() -> list[Image.Image]:
    """8 frames: a purple star moves left."""
    return [draw_scene([make_thing("purple star", 50, 78 - 8 * step, 28)]) for step in range(8)]


def room_views() -> list[Image.Image]:
    """A room seen from its middle, turning right: one thing at each wall."""
    walls = ("yellow star", "red square", "blue circle", "green cross")
    return [
        draw_scene([make_thing(name, 48, 48 + 4 * (-1) ** number, 40)], paper=(60, 60, 60))
        for number, name in enumerate(walls)
    ]


def write_video(path: Path, frames: Sequence[Image.Image]) -> None:
    """H.264 in MP4, `FPS` frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "16", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode(None))


def main(folder: Path) -> None:
    """Writes all examples into the folder."""
    (folder / "room").mkdir(parents=True, exist_ok=True)
    scene = [
        make_thing("green star", 28, 30, 32),
        make_thing("red circle", 30, 84, 30),
        make_thing("blue square", 70, 28, 28),
    ]
    pictures = {
        "word.png": draw_word("water", 28, (0, 0, 0), WHITE),
        "sign.png": draw_word("hello", 26, WHITE, DARK_BLUE, margin=8),
        "page.png": draw_page(["street music", "water table"], 20),
        "object.png": draw_scene([make_thing("red circle", 30, 28, 36)]),
        "scene.png": draw_scene(scene, height=SIDE, width=112),
    }
    for number, view in enumerate(room_views(), start=1):
        pictures[f"room/view{number}.png"] = view
    for name, picture in pictures.items():
        picture.save(folder / name, optimize=True)
    write_video(folder / "order.mp4", order_frames())
    write_video(folder / "moving.mp4", moving_frames())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
