"""Files with more than a picture stream."""

from pathlib import Path

import av
import numpy as np
from PIL import Image

from oryx.media.video import open_clip, probe_video


def write_with_sound(path: Path, num_frames: int = 12) -> None:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=16000)
        for index in range(num_frames):
            image = Image.new("RGB", (64, 48), (20 * index, 0, 0))
            container.mux(picture.encode(av.VideoFrame.from_image(image)))
        samples = np.zeros((1, 16000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        for stream in (picture, sound):
            container.mux(stream.encode(None))


def test_a_sound_track_beside_the_picture_is_passed_over(tmp_path):
    path = tmp_path / "talk.mp4"
    write_with_sound(path)
    info = probe_video(path)
    assert (info.height, info.width, info.num_frames) == (48, 64, 12)
    clip = open_clip(path, max_frames=4)
    reds = [frame.image.getpixel((32, 24))[0] for frame in clip.frames]
    assert len(reds) == 4
    assert reds == sorted(reds)
    assert reds[-1] - reds[0] > 180
