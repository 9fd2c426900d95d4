"""The projects that benchmarks run, each with one file to edit and an endpoint that shows the edit.

A project knows how to save its edited file; it knows nothing about servers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from tests.benchmarks import project_chat, project_heavy

# `show` looks `marker` up at every request, which is kind to the reloaders that patch a module in place: they answer
# with new code before their app is built again.
MAIN = '''\
"""The app of a benchmark project."""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

{imports}

async def show(request):
    return PlainTextResponse(marker())


app = Starlette(routes=[Route("/marker", show)])
'''

MARKER = """
def marker():
    return "@MARKER@"
"""

BASE = '''\
"""What all other modules of the package import."""

VERSION = "@MARKER@"


class Base:
    """The base class of every part."""

    version = VERSION

    def describe(self):
        return f"{type(self).__name__} {self.version}"
'''

PART = '''\
"""Part {number} of 300: a module of seventy lines as an app has them."""

import logging
from collections.abc import Iterable, Iterator

from parts.base import VERSION, Base

LOGGER = logging.getLogger(__name__)
LIMITS = {{"low": {number}, "high": {number} + 100, "step": 5}}
NAMES = ("alpha", "beta", "gamma", "delta", "part-{number}")


class Part{number}(Base):
    """One thing that the app knows."""

    limit = LIMITS["high"]
    version = VERSION

    def __init__(self, name: str, size: int = 0) -> None:
        self.name = name
        self.size = size

    def grow(self, by: int = 1) -> int:
        if self.size + by > self.limit:
            raise ValueError(f"{{self.name}} can't grow by {{by}}")
        self.size += by
        return self.size

    def shrink(self, by: int = 1) -> int:
        self.size = max(0, self.size - by)
        return self.size

    @property
    def full(self) -> bool:
        return self.size >= self.limit


class Shelf{number}:
    """Parts in a row."""

    def __init__(self, parts: Iterable[Part{number}] = ()) -> None:
        self._parts = {{part.name: part for part in parts}}

    def __iter__(self) -> Iterator[Part{number}]:
        return iter(self._parts.values())

    def add(self, part: Part{number}) -> None:
        if part.name in self._parts:
            LOGGER.warning("%s is on the shelf already", part.name)
        self._parts[part.name] = part

    def largest(self) -> Part{number} | None:
        return max(self, key=lambda part: part.size, default=None)


def build(names: Iterable[str] = NAMES) -> Shelf{number}:
    return Shelf{number}(Part{number}(name, size) for size, name in enumerate(names))


def total(parts: Iterable[Part{number}]) -> int:
    return sum(part.size for part in parts if not part.full)


def report(shelf: Shelf{number}) -> list[str]:
    lines = []
    for part in sorted(shelf, key=lambda part: part.name):
        share = part.size / max(1, total(shelf))
        lines.append(f"{{part.name:<10}} {{part.size:>5}} {{share:.1%}}")
    return lines
'''

SLOW_PART = '''\
"""Pure-Python work at import: 20 ms of this thread's own processor time."""

import time

from settings import marker

started = time.thread_time()
checksum = 0
while time.thread_time() - started < {seconds}:
    for value in range(200):
        checksum = (checksum * 31 + value) % 65521
'''


@dataclass(frozen=True)
class Project:
    """A project on disk, the file that its benchmark edits, and where a client sees the edit.

    Args:
        name: The name of the case, as tables show it.
        root: The directory that servers run in.
        edited: The file that is saved.
        template: The source of that file, with `@MARKER@` where the marker goes.
        target: What uvicorn is told to run.
        path: The URL path that answers with the marker of the code that is running.
    """

    name: str
    root: Path
    edited: Path
    template: str
    target: str = "main:app"
    path: str = "/marker"

    def save(self, marker: str, *, in_place: bool = False) -> float:
        """Write the edited file anew with this marker, and return the time just before the write.

        Args:
            marker: What the endpoint answers once the new code is in use.
            in_place: Truncate and write the file itself, as jurigged needs it; otherwise a temporary file
                is renamed over it, as most editors do.

        Returns:
            `time.perf_counter()` right before the first byte was written.
        """
        # The size differs from save to save: a process reloader would else believe a .pyc of the same second.
        text = self.template.replace("@MARKER@", marker) + f"# {'x' * (sum(map(ord, marker)) % 61)}\n"
        if in_place:
            started = perf_counter()
            self.edited.write_text(text)
            return started
        temporary = self.edited.with_name(f"{self.edited.name}.saving~")
        started = perf_counter()
        temporary.write_text(text)
        temporary.replace(self.edited)
        return started


def write_files(root: Path, files: dict[str, str]) -> None:
    """Write each text to its path below root, making folders as needed."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@MARKER@", "first"))


def _project(name: str, root: Path, files: dict[str, str], edited: str, target: str = "main:app") -> Project:
    write_files(root, files)
    return Project(name=name, root=root, edited=root / edited, template=files[edited], target=target)


def small(root: Path) -> Project:
    """A one-file Starlette app; the file itself is edited."""
    return _project("small", root, {"main.py": MAIN.format(imports=MARKER)}, "main.py")


def chat(root: Path) -> Project:
    """A copy of the example chat; its `services.py` is edited."""
    return _project("chat", root, project_chat.files(), "chat/services.py", target="chat.main:app")


def heavy(root: Path) -> Project:
    """FastAPI, pandas, SQLAlchemy, SciPy and 50 pydantic models in own modules, 25 routes; `services.py` is edited."""
    return _project("heavy", root, project_heavy.files(), "services.py")


def heavy50(root: Path) -> Project:
    """The heavy project with two endpoints for each pair of models instead of one: 50 routes."""
    return _project(
        "heavy50", root, project_heavy.files(project_heavy.ROUTE + project_heavy.SECOND_ROUTE), "services.py"
    )


def _parts(count: int) -> dict[str, str]:
    numbers = [f"{number:03}" for number in range(count)]
    files = {f"parts/part_{number}.py": PART.format(number=int(number)) for number in numbers}
    return {"parts/__init__.py": '"""300 modules."""\n', "parts/base.py": BASE, **files}


def leaf300(root: Path) -> Project:
    """300 modules in a package; one that only the app imports is edited."""
    files = _parts(300)
    files["parts/part_150.py"] += f"\n{MARKER}"
    imports = "\n".join(f"import {name[:-3].replace('/', '.')}" for name in files)
    files["main.py"] = MAIN.format(imports=f"{imports}\nfrom parts.part_150 import marker\n").replace(
        "import parts.__init__\n", ""
    )
    files["parts/base.py"] = BASE.replace("@MARKER@", "first")
    return _project("leaf of 300", root, files, "parts/part_150.py")


def base300(root: Path) -> Project:
    """300 modules in a package; the one that all of them import names from is edited."""
    files = _parts(300)
    names = [f"Part{number}" for number in range(300)]
    # Only when all 300 have been run again is the answer the new marker: each class took its own copy of the version.
    seen = "\n\ndef marker():\n    return ' '.join({part.version for part in PARTS})\n"
    imports = "\n".join(f"from parts.part_{number:03} import {name}" for number, name in enumerate(names))
    files["main.py"] = MAIN.format(imports=f"{imports}\n\nPARTS = [{', '.join(names)}]\n{seen}")
    return _project("base of 300", root, files, "parts/base.py")


def slow(root: Path) -> Project:
    """New code takes one second to import: 50 modules with 20 ms of pure-Python work each import the edited one."""
    names = [f"slow_{number:02}" for number in range(50)]
    files = {f"{name}.py": SLOW_PART.format(seconds=0.02) for name in names}
    files["settings.py"] = f'"""What every module imports."""\n\n{MARKER}'
    imports = "\n".join(f"import {name}" for name in names)
    files["main.py"] = MAIN.format(imports=f"{imports}\nfrom settings import marker\n")
    return _project("slow", root, files, "settings.py")


def bigfile(root: Path) -> Project:
    """One file of 6,000 lines is edited: its compilation holds the interpreter."""
    head, _, body = PART.partition("LIMITS")
    block = f"LIMITS{body}"
    count = 6000 // (block.count("\n") + 2) + 1
    big = "\n\n".join([head.format(number=0), *[block.format(number=number) for number in range(count)], MARKER])
    files = {"big.py": big, "main.py": MAIN.format(imports="from big import marker\n")}
    files |= {"parts/__init__.py": "", "parts/base.py": BASE.replace("@MARKER@", "first")}
    return _project("bigfile", root, files, "big.py")


BUILDERS: dict[str, Callable[[Path], Project]] = {
    builder.__name__: builder for builder in (small, chat, heavy, heavy50, leaf300, base300, slow, bigfile)
}
