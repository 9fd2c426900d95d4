"""The listening socket, bound as uvicorn binds it, with a next step for each way in which that fails."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import stat
from pathlib import Path

import uvicorn

from hotsession.errors import ConfigurationError

logger = logging.getLogger("hotsession")


def listen(config: uvicorn.Config) -> socket.socket:
    """Bind the socket that `config` describes and listen, so that a client that comes too early waits.

    Raises:
        ConfigurationError: it can't be had; uvicorn has logged the system's reason.
    """
    if config.uds:
        _remove_abandoned(Path(config.uds))
    try:
        sock = config.bind_socket()
    except SystemExit as refused:
        raise ConfigurationError(_advice(config, refused.__context__)) from refused
    except OSError as error:  # of --fd
        raise ConfigurationError(_advice(config, error)) from error
    try:
        sock.listen(config.backlog)
    except OSError as error:
        sock.close()
        raise ConfigurationError(_advice(config, error)) from error
    return sock


def address(config: uvicorn.Config, sock: socket.socket) -> str:
    """Where the server can be reached, in words."""
    if config.uds:
        return f"unix:{config.uds}"
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{name}" if name else f"file descriptor {config.fd}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{'https' if config.is_ssl else 'http'}://{host}:{name[1]}"


def _advice(config: uvicorn.Config, error: BaseException | None) -> str:
    number = error.errno if isinstance(error, OSError) else None
    place = f"the socket {config.uds}" if config.uds else f"port {config.port} of {config.host}"
    if config.fd is not None:
        return f"file descriptor {config.fd} is no socket that can listen ({error}): give the number of an open one"
    if number == errno.EADDRINUSE:
        cure = "another path" if config.uds else "another port with `--port`, 0 for any that is free"
        return f"{place} is taken: stop the server that has it, or choose {cure}"
    if number == errno.EACCES:
        cure = "a directory of yours" if config.uds else "one above 1023 with `--port`"
        return f"{place} is not allowed: choose {cure}"
    cure = "another path" if config.uds else "an address of this machine with `--host`"
    return f"{place} can't be had ({error}): choose {cure}"


def _remove_abandoned(path: Path) -> None:
    """Remove the socket that a killed server left at `path`: one on which nobody listens."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                logger.info("Removing the socket %s, on which nobody listens", path)
                path.unlink()
