"""The README keeps its word: its Python runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("examples/*/README.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[object]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            yield pytest.param(page, line, match[1], id=f"{page.relative_to(ROOT)}:{line}")


def compiled(page: Path, line: int, source: str) -> CodeType:
    """The block as code whose tracebacks lead to its line in the page, with `await` allowed at the top."""
    tree = ast.increment_lineno(ast.parse(source), line - 1)
    code = compile(tree, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    return code


@pytest.mark.parametrize(("page", "line", "source"), list(blocks()))
def test_every_python_block_runs(page: Path, line: int, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python block of the READMEs runs by itself, as a module, with its assertions true."""
    module = ModuleType(f"readme_{line}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where FastAPI looks names up
    monkeypatch.chdir(ROOT / "examples" / "chat")  # where there is a main.py
    code = compiled(page, line, source)
    result = FunctionType(code, module.__dict__)()
    if inspect.iscoroutine(result):
        asyncio.run(result)


def test_there_are_blocks_to_run() -> None:
    """The README is found, and has Python in it."""
    assert len(list(blocks())) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Every relative link of a README is to something that is there."""
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.e2e
def test_the_options_named_exist() -> None:
    """Every long option that the README names is one of `hotsession run`."""
    named = set(re.findall(r"`(--[a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    shown = subprocess.run(
        [sys.executable, "-m", "hotsession", "run", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert named
    assert {option for option in named if option not in shown.stdout} == set()
