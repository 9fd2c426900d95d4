"""`hotsession sessions`: look at the sessions of a lasting storage, end one, or export them. Knows no running app."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
import click

from hotsession.asgi.session_json import as_text, plain, session_json
from hotsession.errors import HotsessionError, StorageError
from hotsession.lifecycle.codec import JSONCodec
from hotsession.lifecycle.record import NEXT, Key, Record, can_go, moved
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.wording import short, span
from hotsession.storages.base import Lists, Storage
from hotsession.storages.opening import MEMORY, VARIABLE, open_storage

COLUMNS = ("id", "sessions", "key", "status", "age", "expires", "data")
_WIDEST = 40  # characters of a column of the table
_AT_ONCE = 1000  # records of one export step

T = TypeVar("T")


class Refused(click.ClickException):
    """Something the user has to change; shown without the usage."""

    exit_code = 2


_WHERE = "Where they are: sqlite:///sessions.db or file:///directory."


@click.group()
@click.option("--storage", "address", envvar=VARIABLE, help=_WHERE)
@click.pass_context
def sessions(context: click.Context, address: str | None) -> None:
    """Look at the sessions of a lasting storage, or end one."""
    context.obj = address


def _stored(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the storage, whether `--storage` stands before the command's name or after it."""

    @click.option("--storage", "address", help=_WHERE)
    @click.pass_context
    def with_storage(context: click.Context, /, address: str | None, **options: Any) -> None:
        command(_opened(address or context.obj), **options)

    return functools.update_wrapper(with_storage, command)


def _opened(address: str | None) -> Any:
    if not address or address == MEMORY:
        raise Refused(
            "sessions in memory are seen by their own process alone: say where lasting ones are, with --storage "
            f"sqlite:///sessions.db or file:///directory, or in {VARIABLE}"
        )
    try:
        storage = open_storage(address)
    except HotsessionError as error:
        raise Refused(str(error)) from error
    _refuse_what_is_not_there(address)
    if not isinstance(storage, Lists):
        raise Refused(f"{storage!r} does not tell whose sessions it has")
    return storage


def _narrowed(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which sessions are meant."""
    for option in (
        click.option("--name", help="Of one session manager: the name given to hotsession.sessions()."),
        click.option("--status", type=click.Choice(sorted(NEXT)), help="In this state."),
        click.option("--key", multiple=True, help="Of this key; several times for a key of several parts."),
    ):
        command = option(command)
    return command


@sessions.command("list")
@_narrowed
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for programs.")
@_stored
def list_(storage: Any, name: str | None, status: str | None, key: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List sessions, newest first."""

    async def find() -> tuple[list[Record], int]:
        names = await storage.managers() if name is None else [name]
        found = [
            record
            for each in names
            for record in await storage.list(each, time.time(), status=status, key=_key(key), limit=limit)
        ]
        total = sum([await storage.count(each, status) for each in names])
        return sorted(found, key=lambda record: record.created_at, reverse=True)[:limit], total

    records, total = _run(storage, find)
    if as_json:
        _print_lines(records)
        return
    click.echo(_table(records))
    live = "live " if status is None else f"{status} "
    click.echo(f"{len(records)} shown, {total} {live}in all" if not key else f"{len(records)} shown")


@sessions.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="On one line, for programs.")
@_stored
def show(storage: Any, id: str, as_json: bool) -> None:
    """Show one session. The first characters of its ID are enough if no other begins with them."""
    record = _run(storage, lambda: _one(storage, id))
    shown = {"manager": record.manager, **_shown(record)}
    click.echo(as_text(shown) if as_json else json.dumps(shown, indent=2, ensure_ascii=False))


@sessions.command()
@click.argument("id")
@click.option("--reason", help="Why, for listings.")
@_stored
def end(storage: Any, id: str, reason: str | None) -> None:
    """End a session: nobody gets it again. Hooks of the app are not called."""

    async def do() -> Record:
        while True:
            record = await _one(storage, id)
            if not can_go(record, "ended"):
                raise Refused(f"session {short(record.id)} is {record.status} already")
            ended = moved(record, "ended", time.time(), reason)
            if await storage.replace(ended):
                return ended

    click.echo(f"ended session {short(_run(storage, do).id)}")


@sessions.command()
@_narrowed
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file to write; left out, it is printed.")
@_stored
def export(storage: Any, name: str | None, status: str | None, key: tuple[str, ...], output: Path | None) -> None:
    """Write sessions as lines of JSON, newest first."""

    async def find() -> list[Record]:
        names = await storage.managers() if name is None else [name]
        return [
            record
            for each in names
            for record in await storage.list(each, time.time(), status=status, key=_key(key), limit=None)
        ]

    records = _run(storage, find)
    if output is None:
        _print_lines(records)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in _lines(records))
    except OSError as error:
        raise Refused(f"{output} can't be written ({error.strerror}): name another file") from error
    click.echo(f"wrote {len(records)} sessions to {output}")


def _run(storage: Storage, work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        try:
            return await work()
        finally:
            await storage.aclose()

    try:
        return anyio.run(run)
    except HotsessionError as error:
        raise Refused(str(error)) from error


async def _one(storage: Any, id: str) -> Record:
    """The session with this id, or the only one that begins so."""
    found: Record | None = await storage.get(id)
    if found is not None:
        return found
    begins = [
        record
        for name in await storage.managers()
        for record in await storage.list(name, time.time(), limit=None)
        if id and record.id.startswith(id)
    ]
    if len(begins) != 1:
        which = "no session begins with" if not begins else f"{len(begins)} sessions begin with"
        raise Refused(f"{which} {id!r}: `hotsession sessions list` shows what there is")
    only: Record = begins[0]
    return only


def _key(parts: tuple[str, ...]) -> Key | None:
    return None if not parts else parts[0] if len(parts) == 1 else parts


def _shown(record: Record) -> dict[str, Any]:
    data, result = _read(record.payload), _read(record.result)
    if isinstance(result, dict) and result.keys() == {"result"}:
        result = result["result"]
    session = Session(record._replace(payload=data, result=plain(result)), reused=True)
    return session_json(session, time.time()) | {"result": plain(result)}


def _read(payload: bytes | None) -> Any:
    """What is in a session, as far as this program can read it: it has neither the app's classes nor its keys."""
    if payload is None:
        return None
    try:
        return JSONCodec().loads(payload)
    except (HotsessionError, StorageError):
        pass
    try:
        return json.loads(payload)
    except ValueError:
        return f"<{len(payload)} bytes that only the app can read>"


def _lines(records: Iterable[Record]) -> Iterator[str]:
    return (as_text({"manager": record.manager, **_shown(record)}) for record in records)


def _print_lines(records: Iterable[Record]) -> None:
    for line in _lines(records):
        click.echo(line)


def _table(records: list[Record]) -> str:
    rows = [COLUMNS, *map(_row, records)]
    widths = [min(_WIDEST, max(len(row[at]) for row in rows)) for at in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(f"{_cut(cell, width):{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(record: Record) -> tuple[str, ...]:
    now = time.time()
    status = "expired" if record.is_expired(now) else record.status
    key = "" if record.key is None else record.key if isinstance(record.key, str) else " / ".join(record.key)
    expires = "" if record.expires_at is None or not record.is_live else f"in {span(record.expires_at - now)}"
    if record.expires_at is None and record.is_live:
        expires = "never"
    data = as_text(plain(_read(record.payload)))
    return short(record.id), record.manager, key, status, span(now - record.created_at), expires, data


def _cut(text: str, width: int) -> str:
    text = text.replace("\n", " ")
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _refuse_what_is_not_there(address: str) -> None:
    """A look must not make a storage: a mistyped path would show an empty one."""
    scheme, _, rest = address.partition(":///")
    path = Path(rest)
    if scheme in ("sqlite", "file") and not os.path.lexists(path):
        raise Refused(
            f"there is no {path.absolute()}: with three slashes a path begins in the working directory, "
            "with four at the root"
        )
