"""What tf.io.decode_image makes of an image file, judged by its content. No TensorFlow."""

import struct
from pathlib import Path

from PIL import Image

JPEG, PNG, GIF = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8"
ALWAYS = {1: (JPEG, PNG), 3: (JPEG, PNG, GIF)}
"""Channels to how files begin that it reads with as many, whatever else is in them."""
READS = {1: "JPEG and PNG", 3: "JPEG, PNG, GIF, BMP of 24 bits and more, and WebP without alpha and animation"}
BMP_HEADER = struct.Struct("<14xI10xH")
"""Size of the second header, and bits of a pixel."""


def unread(path: Path, channels: int) -> str:
    """What is in a file that the decoder cannot read, or reads as other pixels than they are; empty where it reads it.

    Looks at the first bytes, and further only where those leave it open.
    """
    try:
        with path.open("rb") as file:
            start = file.read(BMP_HEADER.size)
    except OSError as error:
        return f"nothing that can be read ({error.strerror})"
    return "" if start.startswith(ALWAYS[channels]) else _unread(path, start, channels)


def _unread(path: Path, start: bytes, channels: int) -> str:
    try:
        with Image.open(path) as image:
            kind, mode = str(image.format), image.mode
            frames = getattr(image, "n_frames", 1) if kind == "WEBP" else 1
            compressed = bool(image.info.get("compression"))
    except Exception:  # Damaged files raise any.
        return "no image in a known format"
    if channels == 1:
        return kind
    if kind == "WEBP":
        return "" if mode == "RGB" and frames == 1 else f"{kind} in mode {mode}, frames: {frames}"
    if kind != "BMP":
        return kind
    header, bits = BMP_HEADER.unpack(start)
    if header < 40:
        return f"{kind} with OS/2's header"
    # It knows no palette: 8 bits are greys to it, which they may be.
    plain = bits in (24, 32) or (bits == 8 and mode == "L" and not compressed)
    return "" if plain else f"{kind} of {bits} bits in mode {mode}"
