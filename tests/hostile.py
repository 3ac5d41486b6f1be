"""Requests that mean harm, in the shapes that servers of media have met."""

import base64
import io
import json
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hostile_bodies
from mutations import NAMES, mutate

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Hostile:
    """One request."""

    kind: str
    url: str = ""
    """Of the picture or video."""
    upload: bytes | None = None
    """Sent as a file of a form instead."""
    video: bool = False
    may_be_read: bool = False
    """What is left of a real file may still be a picture."""
    dials: dict[str, Any] = field(default_factory=dict)
    content: tuple[str, bytes] | None = None
    """Type and bytes of a body that is sent instead."""
    wire: bytes | None = None
    """Sent as it is on a connection of its own instead."""
    trickles: bool = False
    """After it, a byte now and then."""


def requests(root: Path, outside: Path, port: int, number: int) -> list[Hostile]:
    """So many, of every kind.

    Args:
        root: the server's media root; traps are set in it.
        outside: a picture that does not lie in it.
        port: of a listener on loopback, which must never be connected to.
    """
    rng = random.Random(11)
    shares = {"mutated": 0.52, "wrong type": 0.15, "bomb": 0.03, "path": 0.1, "address": 0.12}
    shares |= {"flood": 0.02, "charset": 0.02, "framing": 0.02, "trickle": 0.02}
    makers = {
        "mutated": _mutated(rng),
        "wrong type": _wrong_types(rng, outside, port),
        "bomb": _bombs(),
        "path": _paths(root, outside),
        "address": _addresses(port),
        "flood": (Hostile("flood", content=body) for body in hostile_bodies.floods()),
        "charset": (Hostile("charset", content=body) for body in hostile_bodies.charsets()),
        "framing": (Hostile("framing", wire=sent) for sent in hostile_bodies.framings()),
        "trickle": (Hostile("trickle", wire=sent, trickles=True) for sent in hostile_bodies.trickles()),
    }
    made = [next(makers[kind]) for kind, share in shares.items() for _ in range(round(share * number))]
    rng.shuffle(made)
    return made


def body(hostile: Hostile) -> dict[str, Any]:
    """The chat request of one that is no upload."""
    kind = "video_url" if hostile.video else "image_url"
    part = {"type": kind, kind: {"url": hostile.url}, **hostile.dials}
    return {
        "model": "nano",
        "max_tokens": 2,
        "messages": [{"role": "user", "content": [part, {"type": "text", "text": "What is this?"}]}],
    }


def _mutated(rng: random.Random) -> Iterator[Hostile]:
    contents = {name: (EXAMPLES / name).read_bytes() for name in NAMES}
    while True:
        for name, content in contents.items():
            data, is_video = mutate(content, rng), name.endswith(".mp4")
            if rng.random() < 0.3:
                yield Hostile("mutated", upload=data, video=is_video, may_be_read=True)
            else:
                url = _data_url("video/mp4" if is_video else "image/png", data)
                dials = {"max_frames": 4} if is_video else {}
                yield Hostile("mutated", url, video=is_video, may_be_read=True, dials=dials)


def _wrong_types(rng: random.Random, outside: Path, port: int) -> Iterator[Hostile]:
    address = f"http://127.0.0.1:{port}/x"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", outside.read_bytes())
    texts = [
        b"",
        b"hello",
        b"<html><img src=x></html>",
        f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{outside}"/></svg>'.encode(),
        f"#EXTM3U\n#EXTINF:1,\nfile://{outside}\n#EXT-X-ENDLIST\n".encode(),
        f"#EXTM3U\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n".encode(),
        f"ffconcat version 1.0\nfile '{outside}'\n".encode(),
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n".encode(),
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{address}</BaseURL></MPD>'.encode(),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        b"%PDF-1.7\n",
        b"\x7fELF" + bytes(64),
        b"MZ" + bytes(64),
        archive.getvalue(),
        bytes(rng.randrange(256) for _ in range(500)),
    ]
    while True:
        for index, text in enumerate(texts):
            yield Hostile("wrong type", _data_url("image/png", text), video=False)
            yield Hostile("wrong type", _data_url("video/mp4", text), video=True)
            yield Hostile("wrong type", upload=text or b"\0", video=bool(index % 2))
        for url in ("data:image/png;base64,%%%", "data:", "data:image/png,plain", "data:;base64,A"):
            yield Hostile("wrong type", url)


def _bombs() -> Iterator[Hostile]:
    def png(width: int, height: int) -> bytes:
        def chunk(name: bytes, content: bytes) -> bytes:
            checksum = zlib.crc32(name + content)
            return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        rows = zlib.compress(bytes(min(width * height * 3 + height, 40_000_000)), 9)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + bytes(6)
    gif += b"," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\0\x02\x02\x44\x01\0;"
    bombs = [png(60_000, 60_000), png(2**31 - 1, 1), png(1, 2**31 - 1), png(30_000, 30_000), gif]
    while True:
        for bomb in bombs:
            yield Hostile("bomb", _data_url("image/png", bomb))
            yield Hostile("bomb", upload=bomb)
            yield Hostile("bomb", _data_url("video/mp4", bomb), video=True)


def _paths(root: Path, outside: Path) -> Iterator[Hostile]:
    (root / "link.png").symlink_to(outside)
    (root / "up").symlink_to(outside.parent)
    os.mkfifo(root / "pipe.png")
    up = os.path.relpath(outside, root)
    tricks = [
        f"file://{outside}",
        str(outside),
        f"file://localhost{outside}",
        f"file://{root}/{up}",
        f"{root}/./{up}",
        f"file://{root}/link.png",
        f"file://{root}/up/{outside.name}",
        f"file://{root}/pipe.png",
        f"file://{root}%2f..%2f{outside.name}",
        f"file://{root}/missing.png\0.png",
        "file:///etc/passwd",
        "file:///proc/self/environ",
        "file:///proc/self/fd/0",
        "file:///dev/zero",
        "file:///dev/stdin",
        "/etc/shadow",
        "~/.ssh/id_rsa",
        "file:///",
        "file://",
        "..",
        "a" * 5000,
        f"file://{root}/" + "../" * 200 + "etc/passwd",
        f"concat:{outside}|{outside}",
        f"subfile,,start,0,end,0,,:{outside}",
    ]
    while True:
        for trick in tricks:
            yield Hostile("path", trick)
            yield Hostile("path", trick, video=True)


def _addresses(port: int) -> Iterator[Hostile]:
    hosts = [
        *("127.0.0.1", "localhost", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0177.0.0.1"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[fe80::1]", "127.0.0.1.", "LOCALHOST"),
        *("example.org@127.0.0.1", "127.0.0.1#example.org", "169.254.169.254", "10.0.0.1", "192.168.0.1"),
        *("metadata.google.internal", "example.org", "100.64.0.1", "224.0.0.1", "①②⑦.0.0.1"),
    ]
    schemes = [
        "http",
        "https",
        "ftp",
        "gopher",
        "rtmp",
        "rtsp",
        "tcp",
        "udp",
        "HTTP",
        "hls+http",
        "async:http",
    ]
    while True:
        for host in hosts:
            yield Hostile("address", f"http://{host}:{port}/a.png")
        for scheme in schemes:
            yield Hostile("address", f"{scheme}://127.0.0.1:{port}/a.mp4", video=True)
        yield Hostile("address", f"//127.0.0.1:{port}/a.png")
        yield Hostile("address", f"http:/\\127.0.0.1:{port}/a.png")


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def form(hostile: Hostile) -> dict[str, Any]:
    """The fields of an upload, as httpx takes them."""
    name = "file.mp4" if hostile.video else "file.png"
    request = {"messages": [{"role": "user", "content": "What is this?"}], "max_tokens": 2}
    return {"data": {"request": json.dumps(request)}, "files": {"file": (name, hostile.upload)}}
