from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hotsession.errors import TargetError
from hotsession.target import Target, find_target, suggestions

BOOM = "raise RuntimeError('imported')\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose every module raises when it is imported, as the current directory."""
    for name in ("main.py", "pkg/__init__.py", "pkg/web/__init__.py", "pkg/web/main.py", "flat/server.py", "my-app.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(BOOM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "module", "attribute", "root"),
    [
        ("main:app", "main", "app", "."),
        ("main:holder.inner.app", "main", "holder.inner.app", "."),
        ("main", "main", None, "."),
        ("main.py", "main", None, "."),
        ("./main.py", "main", None, "."),
        ("main.py:create", "main", "create", "."),
        ("pkg", "pkg", None, "."),
        ("pkg.web.main", "pkg.web.main", None, "."),
        ("pkg.web.main:app", "pkg.web.main", "app", "."),
        ("pkg/web/main.py", "pkg.web.main", None, "."),
        ("pkg/web/__init__.py", "pkg.web", None, "."),
        ("flat/server.py:app", "server", "app", "flat"),
        ("flat.server:app", "flat.server", "app", "."),
        ("my-app.py", "my-app", None, "."),
        ("my-app:app", "my-app", "app", "."),
    ],
)
def test_finds_what_people_type(project: Path, text: str, module: str, attribute: str | None, root: str) -> None:
    """A module with or without an attribute and a file lead to a dotted name and the directory to import it from."""
    assert find_target(text) == Target(module, attribute, False, (project / root).resolve())


def test_a_file_inside_a_package_directory_is_named_from_outside_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed from within the package, the file still gets the package's dotted name, so that relative imports work."""
    monkeypatch.chdir(project / "pkg" / "web")
    assert find_target("main.py") == Target("pkg.web.main", None, False, project)


def test_app_dir_is_where_modules_are_looked_for(project: Path) -> None:
    """--app-dir takes the place of the current directory, for modules and for files that are not in the latter."""
    assert find_target("server:app", app_dir="flat").root == project / "flat"
    assert find_target("server.py", app_dir="flat").root == project / "flat"


def test_installed_modules_are_found() -> None:
    """A module that is installed rather than in the project is a target too."""
    assert find_target("starlette.applications:Starlette").module == "starlette.applications"


def test_imports_nothing(project: Path) -> None:
    """Finding leaves the modules alone: they would raise."""
    find_target("pkg.web.main:app")
    find_target("main.py")
    assert not {"main", "pkg", "pkg.web", "pkg.web.main"} & sys.modules.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch:app", r"there is no module 'nosuch' in .*: type `hotsession run main.py`"),
        ("pkg.nosuch:app", r"there is no module 'pkg.nosuch' in "),
        ("pkg.nosuch.deep:app", r"there is no module 'pkg.nosuch.deep' \(there is no 'pkg.nosuch'\)"),
        ("main.deep:app", r"there is no module 'main.deep'"),
        ("nosuch.py", r"there is no file 'nosuch.py' in .*: type `hotsession run main.py`"),
        ("flat", r"'flat' is a directory: name the file"),
        ("pkg/web", r"'pkg/web' is a directory: type `pkg/web/main.py`"),
        ("main:create()", r"is a call: type `main:create --factory`"),
        ("main:", r"'main:' is no target: type `module:attribute`"),
        (":app", r"':app' is no target"),
        ("", r"'' is no target"),
        ("main:a-b", r"'a-b' in 'main:a-b' is no attribute"),
        ("main:app:x", r"'app:x' in 'main:app:x' is no attribute"),
    ],
)
def test_says_what_is_wrong_and_what_to_type(project: Path, text: str, message: str) -> None:
    """Each way to miss is an error that names what was looked for and the next step."""
    with pytest.raises(TargetError, match=message):
        find_target(text)


def test_a_directory_without_code_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty directory there is nothing to suggest but to go elsewhere."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="go to the directory of your project, or give `--app-dir`"):
        find_target("main:app")


def test_other_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file has a usual name, the message lists what is there."""
    (tmp_path / "website.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=r"the files there are website.py"):
        find_target("main.py")


def test_a_dot_in_a_file_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`my.app.py` can't be imported, and the message says to rename it."""
    (tmp_path / "my.app.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="rename the file"):
        find_target("my.app.py")


def test_suggestions_are_the_usual_files(project: Path) -> None:
    """Only what is there is suggested, the most usual name first."""
    (project / "app.py").touch()
    assert suggestions(project) == ("main.py", "app.py")
