"""Compiled code is that of the source as it is now, whatever time stamps and `.pyc` files say."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import threading
from pathlib import Path

import pytest

from hotsession.events import Change
from hotsession.reload.source import SourceCache
from tests.deadlines import DEADLINE
from tests.projects import Project

HEAD = """
from tests.projects import answering
app = answering(globals())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A Python file."""
    path = tmp_path / "x.py"
    path.write_text("X = 1")
    return path


@pytest.fixture
def sources() -> SourceCache:
    """An empty cache."""
    return SourceCache()


def test_an_unchanged_file_is_compiled_once(sources: SourceCache, file: Path) -> None:
    """Also when it was touched: what counts is what is in it."""
    code = sources.code(str(file))
    os.utime(file, ns=(1, 1))
    assert sources.code(str(file)) is code


def test_equal_size_and_time_stamp(sources: SourceCache, file: Path) -> None:
    """Two saves that only their content tells apart."""
    stamp = file.stat().st_mtime_ns
    code = sources.code(str(file))
    file.write_text("X = 2")
    os.utime(file, ns=(stamp, stamp))
    assert not sources.is_current(str(file))
    assert sources.code(str(file)) is not code


def test_what_is_current(sources: SourceCache, file: Path) -> None:
    """A file is news until it was read, when it was written, touched, or deleted since."""
    assert not sources.is_current(str(file))
    sources.code(str(file))
    assert sources.is_current(str(file))
    os.utime(file, ns=(1, 1))
    assert not sources.is_current(str(file))
    sources.code(str(file))
    file.unlink()
    assert not sources.is_current(str(file))


def test_what_was_emptied(sources: SourceCache, file: Path) -> None:
    """A file that had content and has none; not one that never had any, nor one that is gone."""
    sources.code(str(file))
    assert not sources.was_emptied(str(file))
    file.write_text("")
    assert sources.was_emptied(str(file))
    sources.code(str(file))
    assert not sources.was_emptied(str(file))
    file.unlink()
    assert not sources.was_emptied(str(file))
    assert not sources.was_emptied(str(file.with_name("y.py")))


def test_a_link_is_the_file_it_leads_to(sources: SourceCache, file: Path) -> None:
    """A file that was read through a link is known by its own path."""
    link = file.with_name("link.py")
    link.symlink_to(file)
    (file.parent / "elsewhere").symlink_to(file.parent)
    for path in (link, file.parent / "elsewhere" / "x.py", file.parent / "elsewhere" / "link.py"):
        sources.code(str(path))
        assert sources.real(str(path)) == str(file)
        assert sources.is_current(str(file))


def test_encodings(sources: SourceCache, file: Path) -> None:
    """Source is decoded as Python does: by its coding line, and with a byte order mark."""
    for data in ("# coding: latin-1\nX = 'é'".encode("latin-1"), b"\xef\xbb\xbfX = '\xc3\xa9'"):
        file.write_bytes(data)
        namespace: dict[str, object] = {}
        exec(sources.code(str(file)), namespace)  # noqa: S102
        assert namespace["X"] == "é"


def test_null_bytes_are_named(sources: SourceCache, file: Path) -> None:
    """The compiler does not say in which file they are, so we do."""
    file.write_bytes(b"\0")
    with pytest.raises(SyntaxError) as caught:
        sources.code(str(file))
    assert caught.value.filename == str(file)


def test_many_threads(sources: SourceCache, file: Path) -> None:
    """Whoever asks at the same time gets the code of the same source."""
    found = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait(DEADLINE)
        found.append(sources.code(str(file)).co_consts)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert found == [found[0]] * 8


@pytest.mark.anyio
async def test_two_equal_size_saves_within_a_second(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both show, also where a `.pyc` says otherwise: the import system would believe it and serve old code."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    text = HEAD + "import values\ndef index(): return values.X"
    await project.start({"main.py": text, "values.py": "X = 1"})
    path = project.path / "values.py"
    stamp = path.stat().st_mtime_ns
    py_compile.compile(str(path), doraise=True)
    assert os.path.exists(importlib.util.cache_from_source(str(path)))  # noqa: ASYNC240, PTH110
    for number in (2, 3):
        changes = project.write({"values.py": f"X = {number}"})
        os.utime(path, ns=(stamp, stamp))
        assert await project.host.act(changes) is not None
        assert await project.get() == str(number)


@pytest.mark.anyio
async def test_a_stale_pyc_at_the_start(project: Project) -> None:
    """The first load does not believe it either: it may be from before the restart."""
    project.write({"values.py": "X = 1"})
    path = project.path / "values.py"
    stamp = path.stat().st_mtime_ns
    py_compile.compile(str(path), doraise=True)
    project.write({"values.py": "X = 2"})
    os.utime(path, ns=(stamp, stamp))
    await project.start({"main.py": HEAD + "import values\ndef index(): return values.X"})
    assert await project.get() == "2"


@pytest.mark.anyio
async def test_no_pyc_files_are_written_for_own_modules(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be of no use here and could be wrong elsewhere."""
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    await project.start(
        {"main.py": HEAD + "import pkg.x\ndef index(): return 1", "pkg/__init__.py": "", "pkg/x.py": ""}
    )
    await project.reload({"pkg/x.py": "X = 1"})
    assert not list(project.path.rglob("*.pyc"))


@pytest.mark.anyio
async def test_what_is_news_to_the_app(project: Project) -> None:
    """A touch and a deletion are; what was read already, nobody's files, and what is back as it was are not."""
    await project.start({"main.py": HEAD + "import values", "values.py": "X = 1", "other.py": ""})
    reloader = project.host._reloader
    assert reloader is not None
    values, other = Change(str(project.path / "values.py")), Change(str(project.path / "other.py"))

    def is_news(change: Change) -> bool:
        reloader.feed.put(frozenset({change}))
        return bool(reloader.feed.take())

    assert not is_news(values)
    assert not is_news(other)
    assert not is_news(Change(values.path, "deleted"))
    os.utime(values.path, ns=(1, 1))
    assert is_news(values)
    await project.host.act(frozenset({values}))
    assert not is_news(values)
    project.write({"values.py": None})
    assert is_news(Change(values.path, "deleted"))
