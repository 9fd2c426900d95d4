"""The command line: `run`, `reset` and `sessions`. It parses, says what is wrong, and starts the parent."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import uvicorn

from hotsession import __version__
from hotsession.errors import ControlError, HotsessionError
from hotsession.logs import follow_uvicorn
from hotsession.run import control
from hotsession.run.listener import address, listen
from hotsession.run.options import RunOptions, notes, parameters, run_options
from hotsession.run.parent import Parent
from hotsession.session_commands import sessions
from hotsession.target import Target, find_target, suggestions

logger = logging.getLogger("hotsession")


class Refused(click.ClickException):
    """Something the user has to change; shown without the usage."""

    exit_code = 2


class Commands(click.Group):
    """The commands; a target given instead of one is an error that says what to type."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with."""
        first = args[0]
        if first not in self.commands and (":" in first or first.endswith(".py")):
            raise Refused(f"{first!r} is no command: type `hotsession run {' '.join(args)}`")
        return super().resolve_command(ctx, args)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(
            f"hotsession {__version__} with uvicorn {version('uvicorn')}, "
            f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
        )
        ctx.exit()


def _version_option() -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the versions of hotsession and uvicorn, and exit.",
    )


@click.group(cls=Commands)
def main() -> None:
    """Save a file, keep the session."""


main.params.append(_version_option())


def _run(**params: Any) -> None:
    """Serve TARGET and reload its code when a file changes; sessions and connections stay.

    TARGET is `module:attribute`, a module or a file. All options of uvicorn count as for uvicorn.
    """
    if not params["app"]:
        raise Refused(_without_target(Path.cwd()))
    try:
        target = find_target(params["app"], app_dir=params["app_dir"], factory=params["factory"])
        options = run_options(params, target.root)
        status = serve(target, options, params)
    except HotsessionError as error:
        raise Refused(str(error)) from error
    raise SystemExit(status)


main.add_command(
    click.Command(
        "run",
        callback=_run,
        params=[*parameters(), _version_option()],
        help=_run.__doc__,
        context_settings={"auto_envvar_prefix": "UVICORN"},
    )
)


def serve(target: Target, options: RunOptions, params: Mapping[str, Any]) -> int:
    """Bind the socket, be the parent, and return the exit status.

    Raises:
        ConfigurationError: the socket can't be had.
    """
    # the worker loads the environment file: a changed one counts at the next restart
    config = uvicorn.Config(str(target), **{**options.server, "env_file": None})
    follow_uvicorn()
    for note in notes(params):
        logger.warning("%s", note)
    with listen(config) as listener:
        try:
            parent = Parent(listener, target=target, options=options, params=params, url=address(config, listener))
            return asyncio.run(parent.run())
        finally:
            if config.uds:
                Path(config.uds).unlink(missing_ok=True)


def _without_target(directory: Path) -> str:
    found = suggestions(directory)
    if found:
        return f"no target: type `hotsession run {found[0]}`"
    return "no target: type `hotsession run main:app`, with the module and the name of your app"


main.add_command(sessions)


@main.command()
@click.argument("name", required=False)
@click.option("--pid", type=int, help="The process id of the dev server, when several run.")
def reset(name: str | None, pid: int | None) -> None:
    """Drop the state that the dev server of this directory keeps: all of it, or what goes by NAME."""
    try:
        server = control.choose(control.running(), Path(os.path.realpath(".")), pid)
    except ControlError as error:
        raise Refused(str(error)) from error
    try:
        click.echo(control.ask_reset(server, name))
    except ControlError as error:  # there is a server, but it did nothing: exit status 1
        raise click.ClickException(str(error)) from error
