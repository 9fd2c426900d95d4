"""Bytecode that could hide a save is dropped; all other stays."""

from __future__ import annotations

import importlib
import logging
import os
import py_compile
import re
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import cache_from_source, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from hotsession import bytecode
from hotsession.bytecode import Bytecode, BytecodeFinder

NOW = 1_700_000_000.0  # a whole second


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that is imported from; what was imported and who finds it is as before afterwards."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if not isinstance(each, BytecodeFinder)])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.syspath_prepend(directory)
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        del sys.modules[name]


def save(path: Path, text: str, at: float = NOW) -> Path:
    """Write a source that was changed at a given time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def compiled(source: Path, at: float, mode: str = "TIMESTAMP") -> Path:
    """Write the bytecode of a source at a given time."""
    cached = Path(cache_from_source(source))
    how = py_compile.PycInvalidationMode[mode]
    py_compile.compile(str(source), str(cached), doraise=True, invalidation_mode=how)
    os.utime(cached, (at, at))
    return cached


def is_void(cached: Path) -> bool:
    """Whether Python finds no code there that it would run, and a request to go by the content from now on."""
    data = cached.read_bytes()
    return len(data) == 16 and data[4:] == b"\3\0\0\0" + bytes(8)


def load(name: str) -> ModuleType:
    """Import a module that was just written."""
    importlib.invalidate_caches()
    return importlib.import_module(name)


def fresh(name: str) -> ModuleType:
    """Import a module as another process would."""
    sys.modules.pop(name, None)
    return load(name)


@pytest.mark.parametrize(
    ("changed", "written", "unsure"),
    [
        (NOW, NOW, True),
        (NOW + 0.9, NOW + 1.1, True),
        (NOW, NOW + 1.99, True),
        (NOW, NOW + 2, False),
        (NOW, NOW + 3600, False),
        (NOW + 0.4, NOW + 0.1, True),
        (NOW + 3600, NOW, True),
    ],
    ids=["at once", "over a second", "nearly two", "two seconds", "an hour", "older", "a clock that is ahead"],
)
def test_what_was_written_soon_after_a_save_is_unsure(changed: float, written: float, unsure: bool) -> None:
    """Two seconds after the last change no further save can look the same; before that one can."""
    assert bytecode.is_unsure(changed, written) is unsure


def test_the_trap_is_there(project: Path) -> None:
    """Without us Python serves the first of two saves of one size in one second."""
    save(project / "trap.py", "VALUE = 1\n", NOW + 0.1)
    assert load("trap").VALUE == 1
    save(project / "trap.py", "VALUE = 2\n", NOW + 0.7)
    assert fresh("trap").VALUE == 1


def test_what_is_imported_later_is_looked_at_before_it_is_read(project: Path) -> None:
    """Bytecode that a process before left is not believed, in packages as well."""
    for number in (1, 2):
        save(project / "pack" / "__init__.py", "from pack import inner\n")
        save(project / "pack" / "inner.py", f"VALUE = {number}\n", NOW + number / 10)
        if number == 1:
            compiled(project / "pack" / "inner.py", NOW + 0.15)
    bytecode.begin([project])
    assert load("pack").inner.VALUE == 2


def test_what_is_loaded_already_loses_its_bytecode(project: Path) -> None:
    """The target that is just importing us leaves nothing that the next process could take for newer."""
    source = save(project / "target.py", "VALUE = 1\n")
    load("target")
    cached = Path(cache_from_source(source))
    os.utime(cached, (NOW + 0.2, NOW + 0.2))
    bytecode.begin([project])
    assert is_void(cached)


def test_all_are_looked_at_again_when_the_app_is_up(project: Path) -> None:
    """A module that came in a way that no finder sees, as plugins do, leaves no bytecode either."""
    bytecode.begin([project])
    source = save(project / "plugin.py", "VALUE = 1\n")
    spec = spec_from_file_location("plugin", source)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["plugin"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    cached = Path(cache_from_source(source))
    os.utime(cached, (NOW + 1, NOW + 1))
    bytecode.app_is_up()
    assert is_void(cached)


def test_saves_of_the_next_seconds_are_served(project: Path) -> None:
    """Ten saves of one size within the same second are each seen by the process after it."""
    bytecode.begin([project])
    for number in range(10):
        source = save(project / "digit.py", f"VALUE = {number}\n", NOW + number / 10)
        served: int = fresh("digit").VALUE
        assert served == number
        os.utime(cache_from_source(source), (NOW + number / 10, NOW + number / 10))


def test_what_was_void_once_is_compared_by_content(project: Path) -> None:
    """A process that is ended before it imports us, or knows nothing of us, can't leave the trap any more."""
    source = save(project / "target.py", "VALUE = 1\n")
    cached = compiled(source, NOW + 60)
    load("target")
    bytecode.begin([project])
    assert is_void(cached)
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, BytecodeFinder)]
    for value in (1, 2, 3):
        save(source, f"VALUE = {value}\n", NOW + value / 10)
        served: int = fresh("target").VALUE
        assert served == value
        os.utime(cached, (NOW + value / 10, NOW + value / 10))
    assert not is_void(cached)
    before = cached.stat()
    fresh("target")
    assert os.path.samestat(cached.stat(), before)  # it is used, and not written each time


def test_where_nobody_writes_bytecode_it_is_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PYTHONDONTWRITEBYTECODE a void file would stay void, and cost a look at each start."""
    source = save(project / "target.py", "VALUE = 1\n")
    cached = compiled(source, NOW)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    bytecode.begin([project])
    load("target")
    assert not cached.exists()


def test_nothing_happens_without_begin(project: Path) -> None:
    """Where no reloader is, nobody stands in front of Python's finder and no file is looked at."""
    cached = compiled(save(project / "plain.py", "VALUE = 1\n"), NOW)
    load("plain")
    bytecode.app_is_up()
    assert cached.exists()
    assert not any(isinstance(finder, BytecodeFinder) for finder in sys.meta_path)


def test_begin_is_called_twice(project: Path) -> None:
    """There is one finder, and the second call looks at what was loaded meanwhile."""
    bytecode.begin([project])
    cached = compiled(save(project / "between.py", "VALUE = 1\n"), NOW + 5)
    load("between")
    bytecode.begin([project])
    assert is_void(cached)
    finders = [type(finder) for finder in sys.meta_path]
    assert finders.count(BytecodeFinder) == 1
    assert finders.index(BytecodeFinder) == sys.meta_path.index(PathFinder) - 1


def test_sure_bytecode_stays(project: Path) -> None:
    """A module that nobody saved lately is read from its bytecode, as ever."""
    cached = compiled(save(project / "settled.py", "VALUE = 1\n"), NOW + 2.5)
    before = cached.stat()
    bytecode.begin([project])
    load("settled")
    bytecode.app_is_up()
    assert os.path.samestat(cached.stat(), before)
    assert cached.stat().st_mtime == before.st_mtime


@pytest.mark.parametrize("mode", ["CHECKED_HASH", "UNCHECKED_HASH"])
def test_bytecode_with_a_hash_stays(project: Path, mode: str) -> None:
    """What is checked by the content of its source, or was compiled never to be checked, is no business of ours."""
    cached = compiled(save(project / "hashed.py", "VALUE = 1\n"), NOW, mode)
    bytecode.begin([project])
    assert load("hashed").VALUE == 1
    assert cached.exists()


def test_bytecode_of_others_stays(project: Path, tmp_path: Path) -> None:
    """Installed packages, and what lies beside the project, keep theirs."""
    own = compiled(save(project / "own.py", ""), NOW)
    foreign = [
        compiled(save(project / "env" / "site-packages" / "library.py", ""), NOW),
        compiled(save(tmp_path / "beside" / "beside.py", ""), NOW),
    ]
    sys.path[:0] = [str(project / "env" / "site-packages"), str(tmp_path / "beside")]
    bytecode.begin([project])
    for name in ("own", "library", "beside"):
        load(name)
    bytecode.app_is_up()
    assert own.stat().st_mtime != NOW  # it was removed, and written anew
    assert [each.stat().st_mtime for each in foreign] == [NOW, NOW]


def test_own_is_what_the_working_directory_and_the_path_name(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself it owns the working directory and entries of sys.path, but no libraries."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    sys.path.append("nowhere")
    bytecode.begin()
    (finder,) = (finder for finder in sys.meta_path if isinstance(finder, BytecodeFinder))
    assert finder.ownership.owns(project / "main.py")
    assert finder.ownership.owns(tmp_path / "work" / "deep" / "main.py")
    assert not finder.ownership.owns(tmp_path / "main.py")
    for library in (os, pytest, bytecode):
        assert not finder.ownership.owns(str(library.__file__))


def test_what_cannot_be_removed_is_skipped(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache that belongs to somebody else is left alone, without a line but at debug."""
    cached = compiled(save(project / "locked.py", "VALUE = 1\n"), NOW)

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "replace", refuse)
    caplog.set_level(logging.DEBUG, "hotsession")
    bytecode.begin([project])
    assert load("locked").VALUE == 1
    assert [*cached.parent.iterdir()] == [cached]
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert f"{cached} may be stale one day but can't be replaced" in caplog.text


def test_without_bytecode_there_is_nothing_to_drop(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A module without bytecode, one whose source has gone and strange things in sys.modules are passed over."""
    caplog.set_level(logging.DEBUG, "hotsession")
    bytecode.begin([project])
    gone = save(project / "gone.py", "VALUE = 1\n")
    load("gone")
    gone.unlink()
    strange = ModuleType("strange")
    strange.__spec__ = ModuleSpec("strange", None)
    sys.modules["strange"] = strange
    sys.modules["stranger"] = object()  # type: ignore[assignment]
    bytecode.app_is_up()
    new = Bytecode(save(project / "new.py", ""), project / "new.pyc")
    assert not new.drop_if_unsure()
    assert not new.drop()
    assert not new.cached.exists()
    with pytest.raises(ModuleNotFoundError):
        load("missing_altogether")
    assert caplog.text == ""


def test_old_code_that_runs_already_is_told(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who imports us and came from stale bytecode can't be helped any more: a line names it and says what to do."""
    source = save(project / "early.py", "VALUE = 1\n", NOW + 0.1)
    cached = compiled(source, NOW + 0.3)
    save(source, "VALUE = 2\n", NOW + 0.6)
    assert load("early").VALUE == 1
    bytecode.begin([project])
    (record,) = caplog.records
    assert re.fullmatch(rf"{source} runs as it was before its last save, .* Save it once more", record.getMessage())
    assert record.levelname == "WARNING"
    assert is_void(cached)


@pytest.mark.parametrize(
    ("text", "saved", "written"),
    [
        ("VALUE = 1\n", NOW + 0.6, NOW + 0.3),
        ("VALUE = 2\n", NOW + 0.6, NOW + 0.7),
        ("VALUE = 22\n", NOW + 0.6, NOW + 0.3),
        ("VALUE = 2\n", NOW + 1.6, NOW + 0.3),
        ("VALUE = (\n", NOW + 0.6, NOW + 0.3),
    ],
    ids=["the same code", "written after it", "another size", "another second", "broken"],
)
def test_nobody_is_told_without_need(project: Path, text: str, saved: float, written: float) -> None:
    """Only what Python took for newer and what holds other code is worth a line."""
    source = save(project / "early.py", "VALUE = 1\n", NOW + 0.1)
    cached = compiled(source, written)
    save(source, text, saved)
    assert not Bytecode(source, cached).hid_a_save()


def test_repr(project: Path) -> None:
    """The finder says whose modules it looks at."""
    bytecode.begin([project])
    assert f"<BytecodeFinder {project}>" in repr(sys.meta_path)
