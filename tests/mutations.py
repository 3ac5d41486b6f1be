"""Media changed at random, to be refused or read but never to do harm."""

import random

NAMES = ("scene.png", "sign.png", "page.png", "coffee.jpg", "moving.mp4", "order.mp4")
SIGNATURES = (
    *(b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8", b"II*\0", b"BM", b"%!PS"),
    *(b"\0\0\0\x1cftypavif", b"\0\0\0\x18ftypmp42", b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01"),
    *(b"#EXTM3U\n", b"ffconcat version 1.0\n"),
)
LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\xff\xff")


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three changes of the kinds that break readers: bits, lengths, cuts, repeats, new beginnings."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        size = len(out)
        place = chance.randrange(size) if chance.random() < 0.5 else chance.randrange(min(size, 512))
        match chance.randrange(7):
            case 0:
                for _ in range(chance.choice((1, 8, 64, 512))):
                    out[chance.randrange(size)] ^= 1 << chance.randrange(8)
            case 1:
                del out[place + 1 :]
            case 2:
                out[place : place + 4] = chance.choice(LENGTHS)
            case 3:
                out[place:place] = out[place : place + chance.randrange(1, 5000)]
            case 4:
                del out[place : place + chance.randrange(1, 5000)]
            case 5:
                out[place : place + 16] = chance.randbytes(16)
            case 6:
                begin = chance.choice(SIGNATURES)
                out[: len(begin)] = begin
        out = out or bytearray(b"\0")
    return bytes(out)
