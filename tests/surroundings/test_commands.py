"""What a command line says: which program it starts, and whether that restarts others."""

from __future__ import annotations

import pytest

from hotsession.surroundings.commands import parsed, reloader_kind


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("/venv/bin/python /venv/bin/uvicorn main:app --reload", "uvicorn --reload"),
        ("python3.12 -m uvicorn main:app --port 8000 --reload", "uvicorn --reload"),
        ("python -X dev -m uvicorn main:app --reload", "uvicorn --reload"),
        ("python -Xdev -W error -Im uvicorn main:app --reload", "uvicorn --reload"),
        ("python --check-hash-based-pycs always -muvicorn main:app --reload", "uvicorn --reload"),
        ("python /venv/lib/uvicorn/__main__.py main:app --reload", "uvicorn --reload"),
        ("uvicorn --reload main:app", "uvicorn --reload"),
        ("/venv/bin/python /venv/bin/fastapi dev main.py", "fastapi dev"),
        ("python -m fastapi dev", "fastapi dev"),
        ("python -m fastapi_cli --verbose dev", "fastapi dev"),
        ("fastapi run --reload", "fastapi --reload"),
        ("granian --interface asgi main:app --reload", "granian --reload"),
        ("granian --no-reload main:app --reload", "granian --reload"),
        ("hypercorn main:app --reload", "hypercorn --reload"),
        ("gunicorn -k uvicorn.workers.UvicornWorker main:app --reload", "gunicorn --reload"),
        ("/venv/bin/python /venv/bin/watchfiles main.run", "watchfiles"),
        ("watchmedo auto-restart python main.py", "watchmedo"),
        ("node /usr/bin/nodemon --exec python main.py", "nodemon"),
        ("entr -r python main.py", "entr"),
        ("/venv/bin/python /venv/bin/hotsession run main:app", "hotsession run"),
        ("python -P -m hotsession run main:app", "hotsession run"),
        ("python /src/hotsession/__main__.py run main:app", "hotsession run"),
    ],
)
def test_reloaders(command: str, kind: str) -> None:
    """The parents that restart their child on a save, by name."""
    assert reloader_kind(command.split(), {}) == kind


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn main:app",
        "uvicorn main:app --workers 4",
        "uvicorn main:app --reload-dir src",
        "fastapi run main.py",
        "fastapi dev --no-reload main.py",
        "granian main:app --reload --no-reload",
        "gunicorn -w 4 main:app",
        "python main.py --reload",
        "python -c uvicorn --reload",
        "python",
        "hotsession reset",
        "python -m hotsession.run.worker run main:app",
        "uv run uvicorn main:app --reload",
        "tini -- uvicorn main:app --reload",
        "sh -c uvicorn --reload",
        "vim uvicorn --reload",
        "bash",
        "/sbin/init",
        "",
    ],
)
def test_other_programs(command: str) -> None:
    """Servers that do not reload, workers, what only starts a reloader and waits for it, shells and editors."""
    assert reloader_kind(command.split(), {}) is None


@pytest.mark.parametrize(
    ("command", "variable", "value", "kind"),
    [
        ("uvicorn main:app", "UVICORN_RELOAD", "1", "uvicorn --reload"),
        ("granian main:app", "GRANIAN_RELOAD", "true", "granian --reload"),
        ("granian main:app --no-reload", "GRANIAN_RELOAD", "true", None),
        ("uvicorn main:app", "UVICORN_RELOAD", "0", None),
        ("gunicorn main:app", "GUNICORN_CMD_ARGS", "-w 1 --reload", "gunicorn --reload"),
    ],
)
def test_options_from_the_environment(command: str, variable: str, value: str, kind: str | None) -> None:
    """Servers take options from variables as well; what the command line says comes first."""
    assert reloader_kind(command.split(), {variable: value}) == kind


def test_the_arguments_of_a_program() -> None:
    """They are what follows the module or script, without the interpreter's own."""
    assert parsed(["/usr/bin/python3", "-X", "dev", "-m", "granian", "main:app"]) == ("granian", ["main:app"])
    assert parsed(["python", "-c", "print()", "more"]) == ("-c", ["more"])
    assert parsed(["C:/Scripts/uvicorn.exe", "main:app"]) == ("uvicorn", ["main:app"])
    assert parsed([]) == ("", [])
