from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from hotsession.logs import be_heard, follow_uvicorn, stay_audible


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    """Put on again what a configuration turned off."""
    found = [each for each in logging.root.manager.loggerDict.values() if not getattr(each, "disabled", True)]
    yield
    for logger in found:
        logger.disabled = False  # type: ignore[union-attr]


def configure(**options: Any) -> logging.Logger:
    """Let uvicorn configure logging, and ours follow."""
    uvicorn.Config("main:app", **options)
    follow_uvicorn()
    return logging.getLogger("hotsession")


def test_lines_look_like_uvicorns(capsys: pytest.CaptureFixture[str]) -> None:
    """The same prefix, on the same stream, once."""
    configure(use_colors=False).info("Kept %d sessions", 3)
    assert capsys.readouterr().err == "INFO:     Kept 3 sessions\n"


def test_colours_follow_uvicorns(capsys: pytest.CaptureFixture[str]) -> None:
    """--use-colors counts for our lines too."""
    configure(use_colors=True).warning("careful")
    assert "\x1b[33mWARNING\x1b[0m" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "shown"), [("warning", ["WARNING"]), ("debug", ["DEBUG", "WARNING"]), (None, ["WARNING"])]
)
def test_the_level_follows_uvicorns(level: str | None, shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--log-level counts for our lines too."""
    logger = configure(log_level=level, use_colors=False)
    logger.debug("detail")
    logger.warning("careful")
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == shown


def test_a_log_config_that_sends_uvicorn_to_the_root_sends_us_there(tmp_path: Path) -> None:
    """With a --log-config of the user's our lines go where uvicorn's go."""
    log = tmp_path / "log"
    config = tmp_path / "log.json"
    config.write_text(
        '{"version": 1, "disable_existing_loggers": false, "handlers": {"file": {"class": "logging.FileHandler", '
        f'"filename": "{log}"}}}}, "root": {{"handlers": ["file"], "level": "INFO"}}, '
        '"loggers": {"uvicorn": {"handlers": [], "propagate": true, "level": "INFO"}, '
        '"uvicorn.error": {"propagate": true, "level": "INFO"}}}'
    )
    root = logging.getLogger()
    configure(log_config=str(config)).info("hello")
    for each in root.handlers:
        if isinstance(each, logging.FileHandler):
            each.close()
    assert log.read_text() == "hello\n"


def test_a_logger_that_the_user_configured_stays_as_it_is() -> None:
    """A logging configuration that names hotsession is the user's word."""
    logging.getLogger("hotsession").setLevel(logging.ERROR)
    assert configure().handlers == []
    assert configure().level == logging.ERROR


def test_without_uvicorn_lines_go_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under a server that knows nothing of us, and without logging of the user's, our lines show once."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("uvicorn"), "handlers", [])
    be_heard()
    be_heard()
    logging.getLogger("hotsession.reload").info("Reloaded main")
    logging.getLogger("hotsession.reload").debug("detail")
    assert capsys.readouterr().err == "INFO:     Reloaded main\n"
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    logging.getLogger("hotsession.reload").info("Reloaded again")
    assert capsys.readouterr().err == ""


def test_lines_show_after_the_user_configured_logging(capsys: pytest.CaptureFixture[str]) -> None:
    """A dictConfig disables the loggers that it does not name; ours come back, others stay as they were told."""
    configure(use_colors=False)
    ours, other = logging.getLogger("hotsession.reload"), logging.getLogger("hotsessions.of.somebody.else")
    logging.config.dictConfig({"version": 1})
    ours.warning("lost")
    stay_audible()
    ours.warning("careful")
    assert capsys.readouterr().err == "WARNING:  careful\n"
    assert other.disabled
