from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click
import pytest
import uvicorn
from uvicorn.main import main as uvicorn_command

from hotsession.cli import main
from hotsession.errors import ConfigurationError
from hotsession.run.options import OURS, config_arguments, notes, parameters, run_options

run_command = main.commands["run"]


def parse(*args: str) -> dict[str, Any]:
    """What click makes of the arguments of `hotsession run`."""
    return run_command.make_context("run", list(args)).params


def every_option(directory: Path) -> list[str]:
    """A command line that uses every option of uvicorn's, none with its default."""
    line = ["main:app"]
    for option in uvicorn_command.params:
        if not isinstance(option, click.Option) or option.name == "version":
            continue
        if option.is_flag:
            line.append((option.secondary_opts or option.opts)[0] if option.default is True else option.opts[0])
        else:
            line += [option.opts[0], value_of(option, directory)]
    return line


def value_of(option: click.Option, directory: Path) -> str:
    """A value for `option` that is not its default."""
    if option.name == "headers":
        return "X-Name: a:b"
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[-1])
    if isinstance(option.type, click.Path):
        return str(directory)
    return {"integer": "7", "float": "7.5", "boolean": "false"}.get(option.type.name, "word")


@pytest.mark.parametrize("with_options", [False, True])
def test_options_mean_for_the_server_what_they_mean_for_uvicorn(
    with_options: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arguments for uvicorn's Config are those that uvicorn's own command makes, with no option and with all."""
    line = every_option(tmp_path) if with_options else ["main:app"]
    seen: dict[str, Any] = {}
    assert uvicorn_command.callback is not None
    monkeypatch.setitem(uvicorn_command.callback.__globals__, "run", lambda app, **kw: seen.update(kw))
    uvicorn_command.main(line, standalone_mode=False)
    seen.pop("app_dir")
    assert config_arguments(parse(*line)) == seen
    assert seen.keys() <= inspect.signature(uvicorn.Config).parameters.keys()


def test_every_option_of_uvicorn_is_there_with_its_help_and_its_default() -> None:
    """Uvicorn's parameters come unchanged and first, without its --version; then come ours."""
    names = [each.name for each in uvicorn_command.params if each.name != "version"]
    assert [each.name for each in parameters()] == [*names, *(each.name for each in OURS)]
    assert not {each.name for each in OURS} & set(names)


def test_environment_variables_count_as_for_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """UVICORN_PORT and UVICORN_APP are read; UVICORN_HANDOVER is none of uvicorn's."""
    monkeypatch.setenv("UVICORN_PORT", "1234")
    monkeypatch.setenv("UVICORN_APP", "web:app")
    monkeypatch.setenv("UVICORN_HANDOVER", "stop-first")
    params = parse()
    assert (params["port"], params["app"], params["handover"]) == (1234, "web:app", "start-first")


def test_several_workers_are_refused_with_the_cure(tmp_path: Path) -> None:
    """One worker holds the sessions; the message says what to type for production."""
    with pytest.raises(ConfigurationError, match=r"--workers 4 .*: leave it out, or .* `uvicorn main:app --workers 4`"):
        run_options(parse("main:app", "--workers", "4"), tmp_path)
    assert run_options(parse("main:app", "--workers", "1"), tmp_path).server["workers"] == 1


def test_the_server_gets_nothing_about_reloading_and_the_app_its_own_lifespan(tmp_path: Path) -> None:
    """Uvicorn serves the host, which always speaks lifespan and ASGI 3; --lifespan and --interface are for the app."""
    options = run_options(parse("main:app", "--reload", "--lifespan", "off", "--interface", "wsgi"), tmp_path)
    assert not [name for name in options.server if name.startswith("reload")]
    assert (options.server["lifespan"], options.server["interface"], options.server["factory"]) == (
        "on",
        "asgi3",
        False,
    )
    assert (options.lifespan, options.interface) == ("off", "wsgi")


def test_our_own_options(tmp_path: Path) -> None:
    """Handover, drain timeout, scope and whether connections are carried over have defaults and can be given."""
    plain = run_options(parse("main:app"), tmp_path)
    assert (plain.handover, plain.drain_timeout, plain.scope, plain.carry) == ("start-first", 60.0, "changed", True)
    line = ("main:app", "--handover", "stop-first", "--drain-timeout", "5", "--reload-scope", "all", "--no-carry")
    given = run_options(parse(*line), tmp_path)
    assert (given.handover, given.drain_timeout, given.scope, given.carry) == ("stop-first", 5.0, "all", False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with some directories in it."""
    for name in ("src/web", "templates", "data", "elsewhere/app"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "watched"),
    [
        ([], ["."]),
        (["--reload-dir", "src"], ["src"]),
        (["--reload-dir", "src", "--reload-dir", "src/web", "--reload-dir", "data"], ["data", "src"]),
        (["--reload-include", "templates"], ["templates"]),
        (["--reload-include", "*.html"], ["."]),
        (["--reload-dir", "src", "--reload-dir", "data", "--reload-exclude", "data"], ["src"]),
    ],
)
def test_watched_directories_follow_uvicorns_rules(project: Path, line: list[str], watched: list[str]) -> None:
    """The current directory by default, else the given ones, the outer of two, less the excluded."""
    options = run_options(parse("main:app", *line), project)
    assert options.watch_dirs == tuple((project / each).resolve() for each in watched)
    uvicorns = uvicorn.Config("main:app", reload=True, **reload_arguments(line))
    assert sorted(uvicorns.reload_dirs) == list(options.watch_dirs)


def reload_arguments(line: list[str]) -> dict[str, Any]:
    """What uvicorn's own command passes on about watching."""
    arguments = config_arguments(parse("main:app", *line))
    return {name: arguments[name] for name in ("reload_dirs", "reload_includes", "reload_excludes")}


def test_code_that_lies_elsewhere_is_watched_as_well(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --reload-dir the directory that the app is imported from is watched even if it is not below this one."""
    monkeypatch.chdir(project / "src")
    watched = run_options(parse("main:app"), project / "elsewhere").watch_dirs
    assert watched == (project / "elsewhere", project / "src")
    assert run_options(parse("main:app"), project).watch_dirs == (project,)


def test_patterns_go_on_as_they_are_and_excluded_directories_by_their_full_path(project: Path) -> None:
    """An include that is a directory is watched rather than matched; an exclude that is one is absolute."""
    line = ("--reload-include", "*.html", "--reload-include", "templates", "--reload-exclude", "*_test.py")
    options = run_options(parse("main:app", *line, "--reload-exclude", "data"), project)
    assert options.includes == ("*.html",)
    assert options.excludes == ("*_test.py", str(project / "data"))


def test_options_that_change_nothing_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """--reload and WEB_CONCURRENCY are accepted, and the user is told."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    assert notes(parse("main:app")) == []
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    reload, workers = notes(parse("main:app", "--reload"))
    assert reload.startswith("--reload is not needed")
    assert workers.startswith("WEB_CONCURRENCY=4 is ignored")
