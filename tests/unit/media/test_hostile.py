"""Files that would have a reader open, run or unpack something else: refused, by a server or not."""

import io
import socket
import struct
import subprocess
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from oryx.errors import MediaError
from oryx.media import limits
from oryx.media.container import open_container
from oryx.media.image import image_size, open_image
from oryx.media.limits import PICTURE_FORMATS, WEB_FORMATS, decoding_limits, lower_limits
from oryx.media.parallel import limit_threads
from oryx.media.video import open_clip, probe_video

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(/etc/passwd) (r) file\nshowpage\n"


def playlist(kind: str, address: str) -> bytes:
    if kind == "hls":
        head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
        return f"{head}{address}\n#EXT-X-ENDLIST\n".encode()
    if kind == "concat":
        return f"ffconcat version 1.0\nfile {address}\n".encode()
    if kind == "dash":
        return (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="0" bandwidth="1"><BaseURL>{address}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>"
        ).encode()
    if kind == "sdp":
        return b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    return f"[playlist]\nFile1={address}\nNumberOfEntries=1\n".encode()


@pytest.fixture
def listener():
    """(address, connections that came) of a server on this machine."""
    came: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        try:
            while True:
                connection, _ = server.accept()
                with connection:
                    came.append(connection.recv(100))
        except OSError:
            return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4", came
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.mark.parametrize("kind", ["hls", "concat", "dash", "sdp", "pls"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8"])
def test_a_playlist_opens_nothing(kind: str, name: str, tmp_path: Path, make_video, listener):
    address, came = listener
    secret = make_video("secret.mp4", num_frames=3)
    for target in (address, str(secret), f"file:{secret}", "/etc/passwd"):
        path = tmp_path / name
        path.write_bytes(playlist(kind, target))
        for source in (path, path.read_bytes()):
            with pytest.raises(MediaError, match="is not a video"):
                probe_video(source)
    assert came == []


def external_mov(path: Path, target: Path) -> None:
    """Says in a MOV that its samples are in another file, as an alias with an absolute path."""
    data = path.read_bytes()
    place = data.index(b"dref") - 4
    size = struct.unpack_from(">I", data, place)[0]
    name = str(target).encode() + b"\0" * (len(str(target)) % 2)
    alias = bytes(10 + 28 + 12 + 64 + 16 + 4 + 16) + struct.pack(">HH", 2, len(name)) + name + b"\xff\xff\0\0"
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    box = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    out = bytearray(data[:place] + box + data[place + size :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        at = out.index(parent) - 4
        out[at : at + 4] = struct.pack(">I", struct.unpack_from(">I", out, at)[0] + len(box) - size)
    path.write_bytes(out)


def test_a_mov_whose_samples_are_elsewhere_does_not_get_them(make_video, monkeypatch):
    secret, path = make_video("secret.mov", num_frames=8), make_video("outside.mov", num_frames=8)
    external_mov(path, secret)
    opened: list[str] = []

    def spy(url: str, flags: int, options: dict[str, str]):
        opened.append(url)
        return Path(url).open("rb")

    follow = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(path), container_options=follow, io_open=spy):
        assert opened == [str(path), str(secret)]  # libav would, if it were told to
    opened.clear()
    real = av.open
    monkeypatch.setattr("oryx.media.container.av.open", lambda *a, **k: real(*a, **k, io_open=spy))
    with open_container(path):
        assert opened == [str(path)]
    # Even if it were told to, from bytes it has no protocol to open anything with.
    for protocols, num_opened in (({"protocol_whitelist": "file"}, 1), ({}, 0)):
        changed = follow | protocols
        monkeypatch.setattr(
            "oryx.media.container.av.open",
            lambda *a, **k: real(*a, **{**k, "container_options": k["container_options"] | changed}),  # noqa: B023
        )
        before = len(list(Path("/proc/self/fd").iterdir()))
        with open_container(path.read_bytes()):
            assert len(list(Path("/proc/self/fd").iterdir())) == before + num_opened


def test_eps_does_not_run_ghostscript(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "a.png").write_bytes(EPS)
    for source in (EPS, tmp_path / "a.png"):
        with pytest.raises(MediaError, match="is not a picture"):
            open_image(source)


def iptc(payload: bytes) -> bytes:
    """An IPTC file that says it holds a picture of any format, and holds this."""
    fields = [(3, 60, bytes([1, 0])), (3, 20, b"\0\x0a"), (3, 30, b"\0\x0a"), (3, 120, b"\1")]
    fields.append((8, 10, payload))
    return b"".join(struct.pack(">BBBH", 0x1C, a, b, len(data)) + data for a, b, data in fields)


def test_iptc_holds_no_other_format(monkeypatch):
    data = iptc(EPS)
    Image.init()
    assert Image.open(io.BytesIO(data), formats=["IPTC"]).size == (10, 10)  # Pillow would take it
    with pytest.raises(MediaError, match="is not a picture"):
        open_image(data)


def test_only_formats_that_are_decoded_here_are_read():
    Image.init()
    known = set(Image.OPEN)
    assert not {"EPS", "WMF", "IPTC", "GRIB", "BUFR", "HDF5"} & set(PICTURE_FORMATS)
    assert {"PNG", "JPEG", "WEBP", "GIF", "TIFF"} <= known & set(WEB_FORMATS)
    assert set(WEB_FORMATS) <= set(PICTURE_FORMATS) - {"FITS", "PSD"}  # which may unpack more than they say


@pytest.fixture
def lowered(monkeypatch):
    """Lowers the limits for one test."""
    monkeypatch.setattr(limits, "_limits", decoding_limits())
    return lower_limits


def test_limits_go_down_and_never_up(lowered):
    lowered(max_pixels=1000, formats=("PNG", "EPS"), max_threads=2)
    lowered(max_pixels=10**9, formats=PICTURE_FORMATS, max_threads=8)
    assert decoding_limits() == limits.DecodingLimits(1000, ("PNG",), 2)
    assert (limit_threads(1), limit_threads(9)) == (1, 2)


def test_lowered_pixels_hold_for_pictures_animations_and_videos(
    lowered, make_video, make_animation, numbered
):
    sources = [make_animation("a.gif"), make_animation("a.webp"), make_video("a.mp4"), make_video("a.avi")]
    encoded = io.BytesIO()
    numbered(1).save(encoded, "PNG")
    lowered(max_pixels=48 * 64 - 1)
    for function in (open_image, image_size):
        with pytest.raises(MediaError, match="at most 3,071 pixels"):
            function(encoded.getvalue())
    for source in sources:
        with pytest.raises(MediaError, match="at most 3,071"):
            probe_video(source)


def test_formats_that_are_not_allowed_are_not_identified(lowered, numbered):
    for name, options in (("PCX", {}), ("SGI", {})):
        encoded = io.BytesIO()
        numbered(1).save(encoded, name, **options)
        assert open_image(encoded.getvalue()).size == (64, 48)
        lowered(formats=WEB_FORMATS)
        with pytest.raises(MediaError, match="is not a picture"):
            open_image(encoded.getvalue())
        limits._limits = limits.DecodingLimits()


def raw_h264(height: int, width: int) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(3):
            pixels = np.full((height, width, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


def test_frames_that_grow_in_the_middle_are_not_decoded(lowered):
    """The header says 64 x 64; what comes later is 64 times as large."""
    data = raw_h264(64, 64) + raw_h264(512, 512)
    lowered(max_pixels=128 * 128)
    with open_container(data) as (container, stream):
        sizes = set()
        for packet in container.demux(stream):
            try:
                sizes |= {(frame.height, frame.width) for frame in packet.decode()}
            except av.FFmpegError:
                continue
    assert sizes == {(64, 64)}


def test_a_gif_frame_larger_than_its_canvas_is_refused(lowered):
    first, second = io.BytesIO(), io.BytesIO()
    pictures = [Image.new("P", (32, 32), color) for color in (0, 1)]
    pictures[0].save(first, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    Image.new("P", (400, 400), 2).save(second, "GIF")
    small, large = first.getvalue(), second.getvalue()
    image_block = large[large.index(b"\x2c", 13) :]  # with its own size, and the trailer
    data = small[:-1] + image_block
    assert probe_video(data).num_frames >= 2
    lowered(max_pixels=100 * 100)
    with pytest.raises(MediaError, match="at most 10,000 pixels"):
        list(open_clip(data, 8).frames)


def test_threads_are_limited(lowered, make_video):
    path = make_video()
    lowered(max_threads=2)
    with open_container(path) as (_, stream):
        assert stream.codec_context.thread_count == 2
    lowered(max_threads=1)
    with open_container(path) as (_, stream):
        assert stream.codec_context.thread_count == 1
        assert str(stream.thread_type) != "ThreadType.AUTO"
