"""The watcher on real files: whatever an editor or git does to them is delivered, and nothing else is."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import watchfiles

from hotsession.events import Change
from hotsession.ownership import Ownership
from hotsession.reload.watch import FileFilter, Watcher
from tests.deadlines import DEADLINE


class Watching:
    """A watcher below some directories, and what it delivered.

    Args:
        roots: the watched directories.
        poll: look at the files.
    """

    def __init__(self, *roots: Path, poll: bool = False, excludes: tuple[str, ...] = ()) -> None:
        self._delivered: queue.Queue[frozenset[Change]] = queue.Queue()
        ownership = Ownership(roots)
        wanted = FileFilter(ownership, (), excludes)
        self.watcher = Watcher(ownership.roots, wanted, self._delivered.put, poll=poll)

    def until(self, *paths: Path) -> set[Change]:
        """All that is delivered until each of these paths was."""
        end = time.monotonic() + DEADLINE
        found: set[Change] = set()
        while not {str(path) for path in paths} <= {change.path for change in found}:
            found |= self._delivered.get(timeout=max(end - time.monotonic(), 0.01))
        return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with a file in it."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "main.py").write_text("X = 1")
    return root


@pytest.fixture
def watch() -> Iterator[Callable[..., Watching]]:
    """Starts watchers that end with the test."""
    started: list[Watching] = []

    def begin(*roots: Path, poll: bool = False, excludes: tuple[str, ...] = ()) -> Watching:
        watching = Watching(*roots, poll=poll, excludes=excludes)
        started.append(watching)
        watching.watcher.start()
        return watching

    yield begin
    for each in started:
        each.watcher.stop()


Watch = Callable[..., Watching]


@pytest.mark.parametrize("poll", [False, pytest.param(True, marks=pytest.mark.e2e)])
def test_a_save(root: Path, watch: Watch, poll: bool) -> None:
    """A file that is written is delivered with its absolute path."""
    watching = watch(root, poll=poll)
    (root / "main.py").write_text("X = 22")
    assert {change.path for change in watching.until(root / "main.py")} == {str(root / "main.py")}


def test_an_atomic_save(root: Path, watch: Watch) -> None:
    """Written beside it and renamed over it, as most editors do: the other file's name is excluded."""
    watching = watch(root)
    (root / ".main.py.tmp").write_text("X = 2")
    (root / ".main.py.tmp").rename(root / "main.py")
    assert {change.path for change in watching.until(root / "main.py")} == {str(root / "main.py")}


def test_a_save_with_a_backup(root: Path, watch: Watch) -> None:
    """The old file is renamed away and a new one written, as vim does."""
    watching = watch(root)
    (root / "main.py").rename(root / "main.py~")
    (root / "main.py").write_text("X = 2")
    watching.until(root / "main.py")


def test_a_truncating_save(root: Path, watch: Watch) -> None:
    """Emptied first and written later: delivered again when the content is there."""
    watching = watch(root)
    with (root / "main.py").open("w") as file:
        watching.until(root / "main.py")
        file.write("X = 2")
        file.flush()
        watching.until(root / "main.py")


def test_a_touch(root: Path, watch: Watch) -> None:
    """Asked for by hand, a touch is a change."""
    watching = watch(root)
    os.utime(root / "main.py", ns=(1, 1))
    watching.until(root / "main.py")


def test_a_new_directory(root: Path, watch: Watch) -> None:
    """Files in directories that were made while it watched, at once and later."""
    watching = watch(root)
    (root / "app" / "api").mkdir(parents=True)
    (root / "app" / "api" / "routes.py").write_text("X = 1")
    watching.until(root / "app" / "api" / "routes.py")
    (root / "app" / "api" / "routes.py").write_text("X = 22")
    watching.until(root / "app" / "api" / "routes.py")


def test_a_directory_that_is_moved_in(root: Path, watch: Watch) -> None:
    """As git does it, or a package that is renamed: what lies in it is delivered, now and later."""
    watching = watch(root)
    other = root.parent / "other"
    other.mkdir()
    (other / "x.py").write_text("X = 1")
    other.rename(root / "app")
    watching.until(root / "app" / "x.py")
    (root / "app" / "x.py").write_text("X = 22")
    watching.until(root / "app" / "x.py")


def test_a_deleted_file(root: Path, watch: Watch) -> None:
    """It is delivered as deleted."""
    watching = watch(root)
    (root / "main.py").unlink()
    assert Change(str(root / "main.py"), "deleted") in watching.until(root / "main.py")


def test_a_renamed_file(root: Path, watch: Watch) -> None:
    """Both names are delivered."""
    watching = watch(root)
    (root / "main.py").rename(root / "app.py")
    watching.until(root / "main.py", root / "app.py")


def test_a_hundred_files(root: Path, watch: Watch) -> None:
    """None of a checkout is lost."""
    watching = watch(root)
    paths = [root / f"module{i}.py" for i in range(100)]
    for path in paths:
        path.write_text("X = 1")
    watching.until(*paths)


def test_what_is_not_watched(root: Path, watch: Watch) -> None:
    """Databases, logs, caches, hidden files and excluded directories; a file afterwards shows that it looked."""
    (root / "generated").mkdir()
    watching = watch(root, excludes=(str(root / "generated"), "*_pb2.py"))
    (root / "__pycache__").mkdir()
    for name in ("app.db", "app.log", ".hidden.py", "main.pyc", "__pycache__/x.py", "generated/x.py", "x_pb2.py"):
        (root / name).write_text("X = 1")
    (root / "main.py").write_text("X = 2")
    assert {change.path for change in watching.until(root / "main.py")} == {str(root / "main.py")}


def test_two_roots(root: Path, watch: Watch) -> None:
    """Each of several directories is watched."""
    other = root.parent / "libs"
    other.mkdir()
    watching = watch(root, other)
    (other / "x.py").write_text("X = 1")
    watching.until(other / "x.py")
    (root / "main.py").write_text("X = 2")
    watching.until(root / "main.py")


def test_a_root_that_vanishes_and_returns(root: Path, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """It says so once, waits, and delivers all that is there when the directory is back."""
    watching = watch(root)
    shutil.rmtree(root)
    wait_until(lambda: "is gone; waiting" in caplog.text)
    root.mkdir()
    (root / "main.py").write_text("X = 2")
    watching.until(root / "main.py")
    (root / "main.py").write_text("X = 33")
    watching.until(root / "main.py")
    assert caplog.text.count("is gone; waiting") == 1


def test_a_root_that_is_replaced(root: Path, watch: Watch) -> None:
    """Another directory takes its place at once, as a deployment does it: that one is watched from then on."""
    watching = watch(root)
    other = root.parent / "other"
    other.mkdir()
    (other / "new.py").write_text("X = 1")
    root.rename(root.parent / "away")
    other.rename(root)
    watching.until(root / "new.py")
    (root / "new.py").write_text("X = 22")
    watching.until(root / "new.py")


def test_a_root_that_is_missing(root: Path, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """The others are watched meanwhile, it is said once, and the missing one counts when it appears."""
    missing = root.parent / "libs"
    watching = watch(root, missing)
    for number in range(3):
        (root / "main.py").write_text("X" * number)
        watching.until(root / "main.py")
    missing.mkdir()
    (missing / "x.py").write_text("X = 1")
    watching.until(missing / "x.py")
    assert caplog.text.count("is gone; waiting") <= 1


def test_no_root_at_all(root: Path, watch: Watch) -> None:
    """Starting does not wait for a directory to appear."""
    missing = root.parent / "libs"
    watching = watch(missing)
    missing.mkdir()
    (missing / "x.py").write_text("X = 1")
    watching.until(missing / "x.py")


@pytest.mark.e2e
def test_when_the_system_has_no_watches_left(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It polls, and says so with the cure."""
    real = watchfiles.watch

    def limited(*paths: str, force_polling: bool | None = None, **options: object) -> object:
        if not force_polling:
            raise OSError("OS file watch limit reached. about [/project]")
        return real(*paths, force_polling=True, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(watchfiles, "watch", limited)
    watching = watch(root)
    (root / "main.py").write_text("X = 2")
    watching.until(root / "main.py")
    assert "fs.inotify.max_user_watches" in caplog.text


def test_when_watching_fails(
    root: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of another kind is logged, and it tries again: the watcher never dies in silence."""
    real, failures = watchfiles.watch, iter([FileNotFoundError(2, "No path was found."), None])

    def failing(*paths: str, **options: object) -> object:
        if error := next(failures, None):
            raise error
        return real(*paths, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(watchfiles, "watch", failing)
    watching = watch(root)
    (root / "main.py").write_text("X = 2")
    watching.until(root / "main.py")
    assert "No path was found." in caplog.text


def test_stopping_is_quick(root: Path) -> None:
    """A watcher that is idle ends at once, and may be stopped twice or without having been started."""
    Watching(root).watcher.stop()
    watching = Watching(root)
    watching.watcher.start()
    before = time.monotonic()
    watching.watcher.stop()
    assert time.monotonic() - before < 4
    watching.watcher.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    """Look until it is so, or the time is over."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it never became so"
        time.sleep(0.005)


# which files


@pytest.fixture
def keep(root: Path) -> Callable[..., list[str]]:
    """Which of these files of the project are watched."""

    def kept(*names: str, includes: tuple[str, ...] = (), excludes: tuple[str, ...] = ()) -> list[str]:
        wanted = FileFilter(Ownership([root]), includes, excludes)
        return [name for name in names if wanted(str(root / name))]

    return kept


def test_python_files_by_default(keep: Callable[..., list[str]]) -> None:
    """And compiled extensions; nothing that editors, Python or the app itself leave behind."""
    kept = keep(
        "a.py", "b/c.py", "fast.abi3.so", "a.pyc", ".a.py", ".a.py.swp", "~a.py", "a.txt", "a.db", "a.pyi", "a.py~"
    )
    assert kept == ["a.py", "b/c.py", "fast.abi3.so"]


def test_includes(keep: Callable[..., list[str]]) -> None:
    """Patterns of uvicorn's `--reload-include`: by name, with directories, for one file."""
    names = ("a.py", "t/index.html", "conf/app.toml", "other/app.toml", ".env")
    assert keep(*names, includes=("*.html",)) == ["a.py", "t/index.html"]
    assert keep(*names, includes=("conf/*.toml",)) == ["a.py", "conf/app.toml"]
    assert keep(*names, includes=(".env",)) == ["a.py"]
    assert keep(*names, includes=(".env", ".*")) == ["a.py", ".env"]


def test_excludes(keep: Callable[..., list[str]]) -> None:
    """Patterns of uvicorn's `--reload-exclude`; `*.py` excluded means only what is included."""
    names = ("a.py", "tests/test_a.py", "x_pb2.py", "a.html")
    assert keep(*names, excludes=("test_*.py", "*_pb2.py")) == ["a.py"]
    assert keep(*names, includes=("*.html",), excludes=("*.py",)) == ["a.html"]


def test_included_and_excluded(keep: Callable[..., list[str]]) -> None:
    """A pattern that is in both is included, as in uvicorn."""
    assert keep("a.html", includes=("*.html",), excludes=("*.html",)) == ["a.html"]


def test_excluded_directories(root: Path, keep: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory is excluded with all that lies in it, by its path from the working directory or from the root."""
    (root / "generated").mkdir()
    monkeypatch.chdir(root)
    for path in ("generated", "generated/", str(root / "generated")):
        assert keep("a.py", "generated/x.py", "generated/y/z.py", "generated2/x.py", excludes=(path,)) == [
            "a.py",
            "generated2/x.py",
        ]


def test_nothing_is_logged_by_watchfiles(root: Path, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """Its line on each change would be a change where the log lies in the project."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("watchfiles.main").setLevel(logging.NOTSET)
    watching = watch(root)
    (root / "main.py").write_text("X = 2")
    watching.until(root / "main.py")
    assert [record for record in caplog.records if record.name.startswith("watchfiles") and record.levelno < 30] == []
