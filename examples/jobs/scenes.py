"""What a prompt looks like: a Julia set whose shape and colours come from the words. Pure."""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 320
STRIP = 10  # rows that are rendered at once
STRIPS = HEIGHT // STRIP
DEPTH = 60
# places on the edge of the Mandelbrot set, where Julia sets are rich
SHAPES = (
    -0.7269 + 0.1889j,
    -0.8 + 0.156j,
    0.285 + 0.01j,
    -0.4 + 0.6j,
    -0.70176 - 0.3842j,
    0.355 + 0.355j,
    -1.25 + 0.02j,
)


class Impossible(Exception):
    """A prompt that nobody can render."""


@dataclass(frozen=True)
class Scene:
    """One picture, before it is rendered.

    Args:
        shape: the constant of the Julia set.
        turn: by how much the picture is turned, in radians.
        hue: where the colours begin, from 0 to 1.
        spread: how far they reach.
    """

    shape: complex
    turn: float
    hue: float
    spread: float

    @classmethod
    def of(cls, prompt: str) -> Scene:
        """The scene of a prompt: the same words make the same picture.

        Raises:
            Impossible: the prompt asks for something impossible.
        """
        if "impossible" in prompt.lower():
            raise Impossible(f"Nobody can render {prompt!r}")
        digest = hashlib.sha256(prompt.strip().lower().encode()).digest()
        drift = complex(digest[1] - 128, digest[2] - 128) / 12_000
        return cls(SHAPES[digest[0] % len(SHAPES)] + drift, digest[3] / 40, digest[4] / 256, 0.25 + digest[5] / 500)

    def rows(self, top: int, count: int, *, coarseness: int = 1) -> bytes:
        """Some rows of the picture, as red, green and blue bytes.

        Args:
            top: the first row.
            count: how many.
            coarseness: of so many rows and columns one is rendered.
        """
        turned = complex(math.cos(self.turn), math.sin(self.turn)) * 2.9 / WIDTH
        pixels = bytearray()
        for y in range(top, top + count, coarseness):
            for x in range(0, WIDTH, coarseness):
                pixels += self._colour(complex(x - WIDTH / 2, y - HEIGHT / 2) * turned)
        return bytes(pixels)

    def _colour(self, z: complex) -> bytes:
        for step in range(DEPTH):
            z = z * z + self.shape
            size = z.real * z.real + z.imag * z.imag
            if size > 64:
                depth = (step + 1 - math.log2(math.log2(size) / 2)) / DEPTH
                return self._shade(math.sqrt(max(0.0, depth)))
        return self._shade(1.0 - min(1.0, abs(z)) * 0.4)

    def _shade(self, depth: float) -> bytes:
        """A colour of a smooth palette: three cosines that are out of step."""
        light = 0.15 + 0.85 * min(1.0, depth * 1.6)
        return bytes(
            int(255 * light * (0.55 + 0.45 * math.cos(2 * math.pi * (self.spread * 2.5 * depth + self.hue + shift))))
            for shift in (0.0, 0.12, 0.25)
        )


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG file of red, green and blue bytes."""
    rows = b"".join(b"\0" + pixels[start : start + 3 * width] for start in range(0, 3 * width * height, 3 * width))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
