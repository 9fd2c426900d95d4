from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hotsession.private_dir import candidates, distrust, open_private_dir, trusted_dirs


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A run-time directory and a temporary one of this test's."""
    (tmp_path / "run").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


def test_it_is_made_in_the_users_runtime_directory_and_closed_to_others(environ: dict[str, str]) -> None:
    """It has mode 0700 whatever the umask, is the same the second time, and is trusted."""
    before = os.umask(0)
    try:
        path = open_private_dir(environ)
    finally:
        os.umask(before)
    assert path == Path(environ["XDG_RUNTIME_DIR"]) / "hotsession"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert open_private_dir(environ) == path
    assert trusted_dirs(environ) == (path,)


def test_without_a_runtime_directory_it_is_a_temporary_one_of_this_user(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Where XDG_RUNTIME_DIR leads nowhere, the directory below the temporary one carries the user's number."""
    path = open_private_dir({"XDG_RUNTIME_DIR": str(tmp_path / "nosuch")})
    assert path == tmp_path / "tmp" / f"hotsession-{os.geteuid()}"


def test_a_relative_runtime_directory_is_ignored(environ: dict[str, str], tmp_path: Path) -> None:
    """As the XDG specification asks, a relative path counts as unset."""
    assert candidates({"XDG_RUNTIME_DIR": "run"}) == (tmp_path / "tmp" / f"hotsession-{os.geteuid()}",)


def test_what_others_may_enter_is_not_trusted(environ: dict[str, str]) -> None:
    """A directory with open permissions is an error that says so and what to do, and is never used."""
    path = open_private_dir(environ)
    path.chmod(0o755)
    with pytest.raises(
        PermissionError, match=r"can't be trusted, others may enter it \(mode 0755\): remove it, or set"
    ):
        open_private_dir(environ)
    assert trusted_dirs(environ) == ()


def test_a_symbolic_link_is_not_trusted(environ: dict[str, str], tmp_path: Path) -> None:
    """A link that somebody put there leads elsewhere and is refused."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (Path(environ["XDG_RUNTIME_DIR"]) / "hotsession").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="it is a symbolic link"):
        open_private_dir(environ)


def test_a_file_is_not_trusted(tmp_path: Path) -> None:
    """What is no directory is refused."""
    (tmp_path / "file").touch()
    assert distrust(tmp_path / "file") == "it is no directory"


def test_a_directory_of_another_user_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else owns it could read what is in it."""
    tmp_path.chmod(0o700)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert distrust(tmp_path) == f"it belongs to user {user}"
