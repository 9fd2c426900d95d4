"""How a picture comes to be in a directory: a sketch first, then strip by strip. Knows files, and nothing of sessions.

What is done is on disk, so who begins anew goes on where another one was killed.
"""

from __future__ import annotations

import os
from pathlib import Path

from .scenes import HEIGHT, STRIP, STRIPS, WIDTH, Scene, png

SKETCH, PICTURE, CAPTION = "sketch.png", "picture.png", "caption.txt"
COARSENESS = 8
STRIP_BYTES = 3 * WIDTH * STRIP


class Rendering:
    """One picture that is being rendered.

    Args:
        directory: where its files are.
        prompt: what it shows.
    """

    def __init__(self, directory: Path, prompt: str) -> None:
        self.directory = directory
        self.prompt = prompt
        self.scene = Scene.of(prompt)
        self._unfinished = directory / "picture.part"

    def __repr__(self) -> str:
        return f"<Rendering {self.prompt!r} in {self.directory}>"

    def sketch(self) -> int:
        """Make the sketch, unless it is there, and return how many strips of the picture are."""
        if not (self.directory / SKETCH).exists():
            pixels = self.scene.rows(0, HEIGHT, coarseness=COARSENESS)
            _write(self.directory / SKETCH, png(WIDTH // COARSENESS, HEIGHT // COARSENESS, pixels))
        return self._unfinished.stat().st_size // STRIP_BYTES if self._unfinished.exists() else 0

    def strip(self, number: int) -> None:
        """Render a strip; those above it are there."""
        pixels = self.scene.rows(number * STRIP, STRIP)
        with self._unfinished.open("r+b" if self._unfinished.exists() else "wb") as file:
            file.seek(number * STRIP_BYTES)
            file.write(pixels)

    def finish(self) -> None:
        """Make the picture of its strips, and the caption."""
        pixels = self._unfinished.read_bytes()[: STRIPS * STRIP_BYTES]
        _write(self.directory / CAPTION, f"{self.prompt}\n".encode())
        _write(self.directory / PICTURE, png(WIDTH, HEIGHT, pixels))
        self._unfinished.unlink()


def shown(directory: Path) -> Path | None:
    """The best picture that there is in a directory so far."""
    return next((directory / name for name in (PICTURE, SKETCH) if (directory / name).exists()), None)


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step: it is there as a whole, or not at all."""
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
