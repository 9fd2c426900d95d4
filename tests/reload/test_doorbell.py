"""The doorbell rings for what is wanted, at once, and lets its listener sleep otherwise."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotsession.reload.doorbell import Doorbell
from tests.deadlines import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Doorbell]:
    """Rings for Python files below a directory, except in `skipped`."""
    (tmp_path / "app").mkdir()
    (tmp_path / "skipped").mkdir()
    (tmp_path / "app" / "main.py").write_text("X = 1")
    bell = Doorbell([str(tmp_path)], lambda path: not path.endswith("skipped"), lambda path: path.endswith(".py"))
    yield bell
    bell.close()


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_save_rings(bell: Doorbell, tmp_path: Path) -> None:
    """Writing, touching, renaming and deleting a wanted file."""
    file = tmp_path / "app" / "main.py"
    for change in (
        lambda: file.write_text("X = 2"),
        lambda: os.utime(file),
        lambda: file.rename(file.with_name("other.py")),
        lambda: file.with_name("other.py").unlink(),
    ):
        change()
        assert bell.wait(DEADLINE)
        while bell.wait(0.001):
            pass


def test_a_new_directory_rings_and_is_watched(bell: Doorbell, tmp_path: Path) -> None:
    """Its files ring from then on."""
    (tmp_path / "app" / "api" / "v1").mkdir(parents=True)
    assert bell.wait(DEADLINE)
    while bell.wait(0.001):
        pass
    (tmp_path / "app" / "api" / "v1" / "x.py").write_text("X = 1")
    assert bell.wait(DEADLINE)


def test_a_root_that_goes_rings(bell: Doorbell, tmp_path: Path) -> None:
    """Who listens then sees that it is another directory, or none."""
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-away"))
    assert bell.wait(DEADLINE)


def test_what_is_not_wanted_does_not_ring(bell: Doorbell, tmp_path: Path) -> None:
    """Other files, and whatever happens in directories that are not wanted."""
    (tmp_path / "app" / "log.txt").write_text("line")
    (tmp_path / "skipped" / "x.py").write_text("X = 1")
    assert not bell.wait(0.02)


def test_reading_does_not_ring(bell: Doorbell, tmp_path: Path) -> None:
    """An import opens and reads files, and must not wake the watcher."""
    (tmp_path / "app" / "main.py").read_text()
    assert not bell.wait(0.02)


def test_stop_wakes_who_waits(bell: Doorbell) -> None:
    """From another thread, at once; it counts as silence."""
    rang: list[bool] = []
    thread = threading.Thread(target=lambda: rang.append(bell.wait(DEADLINE)))
    thread.start()
    bell.stop()
    thread.join(DEADLINE / 2)
    assert rang == [False]


def test_it_gives_back_what_it_took(tmp_path: Path) -> None:
    """No file descriptor is left when it is closed, which may be done twice."""
    before = open_files()
    bell = Doorbell([str(tmp_path)], lambda path: True, lambda path: True)
    assert bell
    bell.close()
    bell.close()
    bell.stop()
    assert not bell
    assert open_files() == before


def test_without_watches_to_spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not ring, and says so by being false: the watcher then looks by itself."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = open_files()
    monkeypatch.setattr("hotsession.reload.doorbell.INotify", refuse)
    assert not Doorbell([str(tmp_path)], lambda path: True, lambda path: True)
    assert open_files() == before
