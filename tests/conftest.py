"""What every test starts with: an empty registry, and logging as nobody has configured it."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from hotsession.registry import registry
from hotsession.reload.adapters import origins
from tests.effort import be_quick, times

TESTS = Path(__file__).parent
WITHOUT_E2E = "not e2e"  # what `-m` says
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a directory of its own there; where a flush to disk takes no time, however busy the disk is


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for each processor, as what starts servers and browsers mostly waits for them; fast tests don't."""
    processors = os.cpu_count() or 1
    many = processors + 1 if config.option.markexpr == WITHOUT_E2E else 2 * processors
    return 0 if config.option.usepdb else min(many, 16)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what nobody asked for before it is imported, in every process, and not after."""
    return (config.option.markexpr == WITHOUT_E2E and collection_path == TESTS / "e2e") or None


def pytest_configure(config: pytest.Config) -> None:
    """Choose how much effort is made, and where files lie; let collecting tests, which all stay, collect no garbage."""
    gc.disable()
    if config.option.markexpr == WITHOUT_E2E:
        be_quick()
        if _has_room(IN_MEMORY):
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))
    hypothesis.settings.register_profile(
        "hotsession",
        max_examples=times(20, 200, 8),
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],  # that says something of the machine
    )
    hypothesis.settings.load_profile("hotsession")
    _hear_signals()


def _has_room(directory: Path) -> bool:
    """Whether the files of all tests fit; containers often have 64 MB there."""
    try:
        return os.access(directory, os.W_OK) and shutil.disk_usage(directory).free > 1 << 30
    except OSError:
        return False


def _hear_signals() -> None:
    """Let servers that tests start hear what nohup, or a shell's background, ignores: a handler is not inherited."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of each `gc.collect()`: they live as long as the process anyway."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def tests_are_no_app() -> Iterator[None]:
    """Let the tests count as a library: every load of a project would look through all of their modules for models."""
    libraries = (*origins._library_paths(), f"{TESTS}{os.sep}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(origins, "_library_paths", lambda: libraries)
        yield


@pytest.fixture(autouse=True, scope="module")
def no_garbage_of_others() -> None:
    """Keep also what the files before have imported, or left, out of each `gc.collect()`."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    """Start every test with an empty registry, and leave none behind."""
    registry.clear()
    yield
    registry.clear()


@pytest.fixture(autouse=True)
def clean_loggers() -> Iterator[None]:
    """Put the loggers back as they were: a server that ran in this process has configured them."""
    names = ("", "hotsession", "uvicorn", "uvicorn.error", "uvicorn.access")
    before = [(each, each.level, each.handlers[:], each.propagate) for each in map(logging.getLogger, names)]
    yield
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.disabled = False


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio unless a test asks for more."""
    return "asyncio"
