"""Which files are the user's own."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest

import hotsession
from hotsession.ownership import Ownership


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a virtual environment in it."""
    for directory in ("app/api", "env/lib/python3.12/site-packages/lib", ".hidden", "node_modules/x"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    return tmp_path


@pytest.mark.parametrize("path", ["main.py", "app/api/routes.py", "app", "not_there_yet/x.py", ".dotfile.py"])
def test_own(root: Path, path: str) -> None:
    """What lies below a watched directory is own, whether it is there or not."""
    assert Ownership([root]).owns(root / path)


@pytest.mark.parametrize(
    "path",
    [
        "env/main.py",
        "env/lib/python3.12/site-packages/lib/x.py",
        ".hidden/x.py",
        "node_modules/x/setup.py",
        "app/__pycache__/x.py",
        "vendor/site-packages/x.py",
    ],
)
def test_not_own(root: Path, path: str) -> None:
    """Virtual environments, installed packages, hidden directories and caches in the project are nobody's own code."""
    assert not Ownership([root]).owns(root / path)


def test_outside(root: Path) -> None:
    """What lies beside the watched directories is not own, also when its name begins alike."""
    ownership = Ownership([root / "app"])
    assert not ownership.owns(root / "main.py")
    assert not ownership.owns(root / "app2" / "main.py")
    assert not ownership.owns("relative.py")


def test_the_standard_library_and_hotsession_never(tmp_path: Path) -> None:
    """Not even when the whole disk is watched."""
    ownership = Ownership(["/"])
    assert not ownership.owns(json.__file__)
    assert not ownership.owns(str(hotsession.__file__))
    assert not ownership.owns(Path(sysconfig.get_paths()["purelib"]) / "starlette" / "routing.py")
    assert ownership.owns("/srv/app/main.py")


def test_a_hidden_directory_that_is_watched_by_name(root: Path) -> None:
    """A project may lie in `~/.projects`: what is asked for by name is watched."""
    assert Ownership([root / ".hidden"]).owns(root / ".hidden" / "main.py")


def test_through_a_symbolic_link(root: Path, tmp_path: Path) -> None:
    """A directory is own by where it really lies, whatever path leads there."""
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(root)
    try:
        assert Ownership([link]).owns(root / "main.py")
        assert Ownership([root]).owns(link / "app" / "main.py")
    finally:
        link.unlink()
