"""Which files are the user's own code: those below the watched directories that nobody installed there."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_INSTALLED = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
_HOTSESSION = str(Path(__file__).resolve().parent)


class Ownership:
    """Tells the user's own files from everybody else's.

    Own is what lies below one of the watched directories, except: installed packages, a virtual environment
    (a directory with a ``pyvenv.cfg``), hidden directories, the standard library, and hotsession itself.

    Args:
        roots: the watched directories.
    """

    def __init__(self, roots: Iterable[str | Path]) -> None:
        self.roots = tuple(dict.fromkeys(os.path.realpath(root) for root in roots))
        paths = sysconfig.get_paths()
        self._foreign = {_HOTSESSION, *(os.path.realpath(paths[key]) for key in ("stdlib", "platstdlib"))}
        self._foreign -= set(self.roots)
        self._verdicts: dict[str, bool] = {}

    def owns(self, path: str | os.PathLike[str]) -> bool:
        """Whether the file or directory at `path` is the user's own code."""
        directory, name = os.path.split(os.fspath(path))
        return os.path.isabs(directory) and name not in _INSTALLED and self.owns_directory(directory)

    def owns_directory(self, directory: str) -> bool:
        """Whether what lies in `directory` is the user's own code."""
        verdict = self._verdicts.get(directory)
        if verdict is None:
            verdict = self._verdicts[directory] = self._judge(os.path.realpath(directory))
        return verdict

    def _judge(self, directory: str) -> bool:
        if directory in self._foreign:
            return False
        if directory in self.roots:
            return not _INSTALLED & set(Path(directory).parts)
        parent, name = os.path.split(directory)
        return (
            parent != directory
            and name not in _INSTALLED
            and not name.startswith(".")
            and not (Path(directory) / "pyvenv.cfg").exists()
            and self.owns_directory(parent)
        )
