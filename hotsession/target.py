"""Where the app is: from what a user types (``main:app``, ``main``, ``main.py``) to a module and a place in it.

It looks at names and files and imports nothing. Which object of an imported module is the app: `app_object`.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from hotsession.app_object import find_app
from hotsession.errors import TargetError

USUAL_FILES = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py", "asgi.py")


@dataclass(frozen=True, slots=True)
class Target:
    """What to load.

    Args:
        module: the dotted name of the module.
        attribute: where in the module the app is, dots allowed; None to look for it.
        factory: the attribute is called to get the app.
        root: the directory that goes on ``sys.path``.
    """

    module: str
    attribute: str | None
    factory: bool
    root: Path

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}" if self.attribute else self.module

    def app_from(self, module: ModuleType) -> object:
        """Return the app of the imported `module`.

        Raises:
            TargetError: there is none, or more than one; the message says what is there and what to type.
        """
        return find_app(module, self.attribute, factory=self.factory)


def find_target(text: str, *, app_dir: str | Path = "", factory: bool = False) -> Target:
    """Find what `text` names: ``module:attribute``, a module, or a file.

    Args:
        text: as typed after ``hotsession run``.
        app_dir: where modules are looked for first; the current directory when empty.
        factory: the attribute is a factory of the app.

    Raises:
        TargetError: there is no such module or file, or the text is malformed.
    """
    place, colon, attribute = text.partition(":")
    if not place or (colon and not attribute):
        raise TargetError(f"{text!r} is no target: type `module:attribute`, a module or a file, as in `main:app`")
    if attribute.endswith("()"):
        raise TargetError(f"{text!r} is a call: type `{place}:{attribute[:-2]} --factory`")
    if not all(part.isidentifier() for part in attribute.split(".") if colon):
        raise TargetError(f"{attribute!r} in {text!r} is no attribute of a module: type a name, as in `{place}:app`")
    root = Path(app_dir or ".").resolve()
    if place.endswith(".py") or "/" in place or _is_plain_directory(root / place):
        module, root = _module_of(_existing_file(place, root))
    else:
        module = place
        _check_module(module, root)
    return Target(module, attribute or None, factory, root)


def suggestions(directory: Path) -> tuple[str, ...]:
    """The files in `directory` that people usually give to a server."""
    return tuple(name for name in USUAL_FILES if (directory / name).is_file())


# files


def _is_plain_directory(path: Path) -> bool:
    return path.is_dir() and not (path / "__init__.py").is_file()


def _existing_file(place: str, root: Path) -> Path:
    for path in (Path(place), root / place):
        if path.is_file():
            return path.resolve()
        if path.is_dir():
            inside = [f"{place.rstrip('/')}/{name}" for name in suggestions(path)]
            cure = f"type `{inside[0]}`" if inside else "name the file with the app in it"
            if (path / "__init__.py").is_file() and not inside:
                return (path / "__init__.py").resolve()
            raise TargetError(f"{place!r} is a directory: {cure}")
    raise TargetError(f"there is no file {place!r} in {Path.cwd()}: {_nearby(Path.cwd())}")


def _module_of(file: Path) -> tuple[str, Path]:
    """The dotted name of the module in `file`, and the directory to import it from: the first that is no package."""
    top = file.parent if file.stem == "__init__" else file.with_suffix("")
    parts = [top.name]
    root = top.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    if "." in top.name:
        raise TargetError(f"{file.name!r} can't be imported because of the dot in its name: rename the file")
    return ".".join(parts), root


# modules


def _check_module(name: str, root: Path) -> None:
    missing = _first_missing(name, root)
    if missing is None:
        return
    part = "" if missing == name else f" (there is no {missing!r})"
    raise TargetError(f"there is no module {name!r}{part} in {root}: {_nearby(root)}")


def _first_missing(name: str, root: Path) -> str | None:
    """The shortest part of the dotted `name` that no import would find, without importing anything."""
    importlib.invalidate_caches()
    places: list[str] | None = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        known = ".".join(parts[:count])
        spec = _spec(known, root, places)
        if spec is None:
            return known
        if spec.submodule_search_locations is None:
            return None if count == len(parts) else ".".join(parts[: count + 1])
        places = list(spec.submodule_search_locations)
    return None


def _spec(name: str, root: Path, places: list[str] | None) -> Any:
    # By its last part: of a namespace package in another one Python looks for the outer one among the imported modules.
    spec = PathFinder.find_spec(name.rpartition(".")[2], [str(root)] if places is None else places)
    for finder in sys.meta_path if spec is None else ():
        find_spec = getattr(finder, "find_spec", None)
        spec = find_spec(name, places) if find_spec else None
        if spec is not None:
            break
    return spec


def _nearby(directory: Path) -> str:
    found = suggestions(directory)
    if found:
        return f"type `hotsession run {found[0]}`"
    files = sorted(path.name for path in directory.glob("*.py"))[:5]
    if files:
        return f"the files there are {', '.join(files)}"
    return "go to the directory of your project, or give `--app-dir`"
