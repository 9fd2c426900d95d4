"""Exceptions: what is kept of what went wrong follows like anything else, whatever its class takes to be made."""

from __future__ import annotations

from tests.living.generations import BOTH_WAYS, Code, Held, follow

TEXT = """
class E(Exception):
    def __init__(self, code, *, why):
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why
"""
METHOD = "    def f(self): return self.why\n"


@BOTH_WAYS
def test_one_whose_init_takes_something_else_than_args(code: Code, restart: bool) -> None:
    """It follows with all that it has, and its `__init__` is not asked again."""
    held = Held(code, TEXT, "shop.E(3, why='x')", restart=restart)
    it = held.save(TEXT + METHOD)
    assert (it.f(), it.code, str(it), it.args, type(it)) == ("x", 3, "3: x", ("3: x",), held.shop.E)


@BOTH_WAYS
def test_one_of_another_built_in_base(code: Code, restart: bool) -> None:
    """Another with the same content stands for it."""
    held = Held(code, TEXT, "[shop.E(3, why='x')]", restart=restart)
    (it,) = held.save(TEXT.replace("Exception", "LookupError") + METHOD)
    assert issubclass(type(it), LookupError)
    assert (it.f(), it.code, str(it), it.args) == ("x", 3, "3: x", ("3: x",))


def test_the_cause_goes_along(code: Code) -> None:
    """Also where another object stands for an exception."""
    shop = code.first(text=TEXT)
    try:
        raise shop.E(3, why="x") from shop.E(4, why="y")
    except shop.E as error:
        session = {"it": error}
    now = code.save(TEXT.replace("Exception", "LookupError"))
    follow(session)
    it = session["it"]
    assert (type(it), type(it.__cause__), it.__cause__.code) == (now.E, now.E, 4)
    assert it.__traceback__ is not None


def test_one_that_its_base_has_to_fill_is_written_as_python_does(code: Code) -> None:
    """What an `OSError` has besides is set by its `__init__`."""
    text = "class E(OSError):\n    def f(self): return self.filename\n"
    held = Held(code, text, "shop.E(2, 'no such file', 'x.txt')", restart=True)
    it = held.save(text)
    assert (it.errno, it.f()) == (2, "x.txt")
