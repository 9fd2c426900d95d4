"""What the log says of a reload."""

from __future__ import annotations

import pytest

from hotsession.events import Failure, LoadFailed, Reloaded
from hotsession.reload.report import error_text, failed_lines, merged, pending_line, reloaded_line


def owns(path: str) -> bool:
    """What the tests take for the user's own files."""
    return path.startswith("/p/")


def run(source: str, file: str, namespace: dict[str, object] | None = None) -> dict[str, object]:
    """Run this source as if it stood in that file; return the names it defines."""
    namespace = namespace or {}
    exec(compile(source, file, "exec"), namespace)  # noqa: S102
    return namespace


def raised(source: str, file: str = "/p/main.py", namespace: dict[str, object] | None = None) -> BaseException:
    """What running this source, as if it stood in that file, raises."""
    with pytest.raises(BaseException) as caught:
        run(source, file, namespace)
    return caught.value


def test_the_shortest_line() -> None:
    """An app without services and sessions."""
    line = reloaded_line(Reloaded(generation=2, modules=("main",), seconds=0.0124))
    assert line == "Reloaded main in 12 ms; no services were live; no sessions yet."


def test_a_line_with_everything() -> None:
    """Modules, services, sessions and kept values; what is new, stale, still at work, failed."""
    line = reloaded_line(
        Reloaded(
            generation=2,
            modules=("a", "b", "c", "d", "e", "f"),
            removed=("gone",),
            services={"Planner": 3, "Mailer": 1},
            sessions={"default": 2},
            kept=("cache",),
            replaced=("pool",),
            stale=("index",),
            tasks=("'agent' restarted", "'feed' kept"),
            busy=("WebSocket /ws",),
            failures=(Failure("on_dispose hook stop of a", ValueError()),),
            seconds=1.5,
        )
    )
    assert line == (
        "Reloaded a, b, c, d and 2 more in 1500 ms; removed gone; service cache cleared (Planner ×3, Mailer); "
        "sessions preserved (2 in 'default'), kept cache; built anew: pool; "
        "index kept although the code that builds it changed: `hotsession reset index` or r + Enter builds it anew; "
        "tasks: 'agent' restarted, 'feed' kept; old code still has work: WebSocket /ws; "
        "failed on the way: on_dispose hook stop of a."
    )


def test_several_stale_names() -> None:
    """The cure names no single one."""
    line = reloaded_line(Reloaded(generation=2, modules=("a",), stale=("x", "y")))
    assert "x, y kept although" in line
    assert "`hotsession reset NAME`" in line


@pytest.mark.parametrize(
    ("stage", "serving", "head"),
    [
        (
            "import",
            3,
            "Not reloaded: the new code could not be imported. What ran before goes on serving",
        ),
        ("start-up", 3, "Not reloaded: the new app could not start up. What ran before goes on serving"),
        ("import", None, "Not started: the code could not be imported. Nothing serves yet"),
        ("start-up", None, "Not started: the app could not start up. Nothing serves yet"),
    ],
)
def test_a_failure_says_what_goes_on(stage: str, serving: int | None, head: str) -> None:
    """The first line says what failed and what serves; the error follows."""
    text = failed_lines(LoadFailed(stage, raised("1/0")), owns, serving=serving)  # type: ignore[arg-type]
    assert text.splitlines()[0] == f"{head}; the next save tries again."
    assert text.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_own_frames_only() -> None:
    """Frames of others between the user's own are left out."""
    helper = run("def call(f): f()", "/lib/helper.py")
    error = raised("def f():\n    1/0\ncall(f)", namespace=helper)
    assert error_text(error, owns).splitlines() == [
        '  File "/p/main.py", line 3, in <module>',
        '  File "/p/main.py", line 2, in f',
        "ZeroDivisionError: division by zero",
    ]


def test_where_others_raised_it() -> None:
    """One line after the error says where in a library it came from."""
    library = run("def call(): 1/0", "/lib/helper.py")
    assert error_text(raised("call()", namespace=library), owns).splitlines() == [
        '  File "/p/main.py", line 1, in <module>',
        "ZeroDivisionError: division by zero",
        "  (raised in /lib/helper.py:1, in call)",
    ]


def test_only_frames_of_others() -> None:
    """Where no frame is the user's own the last of the others are shown."""
    text = error_text(raised("1/0", file="/lib/helper.py"), owns)
    assert "/lib/helper.py" in text
    assert "ZeroDivisionError: division by zero" in text


def test_a_syntax_error() -> None:
    """The line and the place in it are shown, and no frame of the import system."""
    text = error_text(_syntax_error(), owns)
    assert text.splitlines()[0] == '  File "/p/broken.py", line 2'
    assert "    def (:" in text
    assert "SyntaxError: invalid syntax" in text.splitlines()


def _syntax_error() -> SyntaxError:
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\ndef (:\n", "/p/broken.py", "exec")
    return caught.value


def test_causes_follow() -> None:
    """What an error was raised from is shown after it; what was suppressed is not."""
    chained = error_text(raised("try: 1/0\nexcept ZeroDivisionError as e: raise KeyError('k') from e"), owns)
    assert chained.index("KeyError: 'k'") < chained.index("Caused by:") < chained.index("ZeroDivisionError")
    assert "Caused by" in error_text(raised("try: 1/0\nexcept ZeroDivisionError: raise KeyError('k')"), owns)
    assert "Caused" not in error_text(raised("try: 1/0\nexcept ZeroDivisionError: raise KeyError('k') from None"), owns)


def test_causes_in_a_circle_end() -> None:
    """Errors can be raised from each other by hand."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    text = error_text(first, owns)
    assert text.count("ValueError: first") == 1
    assert text.count("ValueError: second") == 1


def test_several_errors_at_once() -> None:
    """A group, as task groups raise it, shows the errors in it with the user's own frames."""
    text = error_text(BaseExceptionGroup("tasks", [raised("def f():\n    1/0\nf()"), KeyError("k")]), owns)
    assert "ExceptionGroup: tasks (2 sub-exceptions)" in text
    assert "line 2, in f" in text
    assert "ZeroDivisionError: division by zero" in text
    assert text.endswith("KeyError: 'k'")


def test_sys_exit_is_explained() -> None:
    """Who calls it at import sees why the process is still there."""
    assert "sys.exit(): under hotsession the process stays" in error_text(raised("import sys; sys.exit(3)"), owns)


def test_pending_work() -> None:
    """What holds up an old generation is named, and for how long."""
    line = pending_line(["WebSocket /ws"], 3, 60.4)
    assert line == "Generation 3, replaced 60 s ago, still has work: WebSocket /ws."


def test_two_swaps_as_one() -> None:
    """Names once each, times added, the newest generation."""
    first = Reloaded(generation=2, modules=("a", "b"), services={"X": 1}, seconds=0.5, stale=("s",), tasks=("t",))
    second = Reloaded(
        generation=3, modules=("b", "c"), services={"Y": 1}, seconds=0.25, removed=("r",), tasks=("t", "u")
    )
    both = merged(first, second)
    assert (both.generation, both.modules, both.seconds) == (3, ("a", "b", "c"), 0.75)
    assert (both.services, both.removed, both.stale) == ({"X": 1, "Y": 1}, ("r",), ("s",))
    assert both.tasks == ("t", "u")
