"""What is edited under real servers beside the table of the README: steps that fail, moves, what libraries map."""

from __future__ import annotations

from tests.e2e.living_server import Case
from tests.living.edits import EDITS, Edit

_ADA = "class A:\n    def __init__(self): self.name = 'Ada Lovelace'"
_STEP = "class A: pass\n@hotsession.migrate(A, version=1)\ndef split(a):\n    a.seen = 1\n    "
_OWN = "class A:\n    __hot_version__ = 1\n    def __hot_migrate__(self, old):\n        "
_MAPPED = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
class Base(DeclarativeBase): pass
class A(Base):
    __tablename__ = "a"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
"""


def of_table(edit: Edit) -> Case:
    """A row of the table: made, and undone again."""
    undo = "\nhotsession.moved('shop.B', 'shop.A')" if "moved(" in edit.after else ""
    is_as_first = "type(it).__module__ != shop.__name__ or type(it) is shop.A"
    return Case(edit.what, (edit.before, edit.after, edit.before + undo), edit.make, (edit.holds, is_as_first))


RAISING = (
    Case(
        "a step of migrate() that raises, and is mended",
        (_ADA, _STEP + "raise ValueError('a name in two parts')", _STEP + "a.first = a.name.split()[0]"),
        "shop.A()",
        ("type(it) is not shop.A", "(it.first, it.name, type(it) is shop.A) == ('Ada', 'Ada Lovelace', True)"),
    ),
    Case(
        "a __hot_migrate__ that raises, and is mended",
        (_ADA, _OWN + "self.seen = 1; raise ValueError('a name in two parts')", _OWN + "self.first = self.name[:3]"),
        "shop.A()",
        ("type(it) is not shop.A", "vars(it) == {'name': 'Ada Lovelace', 'first': 'Ada'} and type(it) is shop.A"),
    ),
    Case(
        "a step that raises, and is taken back",
        (_ADA, _STEP + "raise ValueError('a name in two parts')", _ADA),
        "shop.A()",
        ("type(it) is not shop.A", "vars(it) == {'name': 'Ada Lovelace'} and type(it) is shop.A"),
    ),
)

_BASE = "class Base:\n    def __init__(self): self.x = [0]\n"
_BASE_STEP = _BASE + "@hotsession.migrate(Base, version=1)\ndef one(a): a.x.append('base')\n"
_OPEN = "model_config = {'extra': 'allow'}\n    "
_ITEM = "class Item(pydantic.BaseModel):\n    a: int\n"
_PAGE = "T = typing.TypeVar('T')\nclass Page(pydantic.BaseModel, typing.Generic[T]):\n    items: list[T]\nNEW"
_SUB = "class A(Base): pass\n"
_SUB_STEP = _SUB + "@hotsession.migrate(A, version=1)\ndef sub(a): a.x.append('sub')\n"

_LINES = "class A:\n    a: int\n    b: int = 2\n"
_MODEL = "class A(pydantic.BaseModel):\n    a: int\n    b: int = 2\n    _p: int = pydantic.PrivateAttr(4)\n"
_TOLD = (
    "class A(Exception):\n    def __init__(self, code, *, why):\n"
    "        super().__init__(why)\n        self.code = code\n"
)

MORE = (
    Case(
        "a frozen dataclass with slots, then not frozen, then a pydantic model, attrs, and as it was",
        (
            f"@dataclass(frozen=True, slots=True)\n{_LINES}",
            f"@dataclass(slots=True)\n{_LINES}",
            _MODEL,
            f"@attrs.define\n{_LINES}",
            f"@dataclass(frozen=True, slots=True)\n{_LINES}",
        ),
        "shop.A(1, 5)",
        (
            "it == shop.A(1, 5)",
            "it == shop.A(a=1, b=5) and it.model_dump() == {'a': 1, 'b': 5} and it._p == 4",
            "it == shop.A(1, 5)",
            "it == shop.A(1, 5) and bool(hash(it))",
        ),
    ),
    Case(
        "an exception whose init takes something else than args",
        (_TOLD, _TOLD + "    def f(self): return self.code\n"),
        "shop.A(3, why='x')",
        ("(it.f(), str(it), type(it) is shop.A) == (3, 'x', True)",),
    ),
    Case(
        "a step of a subclass after one of its base, undone and redone",
        (_BASE + _SUB, _BASE_STEP + _SUB, _BASE_STEP + _SUB_STEP, _BASE + _SUB, _BASE_STEP + _SUB_STEP),
        "shop.A()",
        (
            "it.x == [0, 'base']",
            "it.x == [0, 'base', 'sub']",
            "it.x[0] == 0 and type(it) is shop.A",  # bytes of a kept value that nobody changed are those of before
            "it.x == [0, 'base', 'sub'] and type(it) is shop.A",
        ),
    ),
    Case(
        "steps in order, each once",
        (
            "class A:\n    def __init__(self): self.x = [0]",
            "class A: pass\n@hotsession.migrate(A, version=1)\ndef one(a): a.x.append(1)",
            (
                "class A: pass\n@hotsession.migrate(A, version=1)\ndef one(a): a.x.append(1)\n"
                "@hotsession.migrate(A, version=3)\ndef three(a): a.x.append(3)\n"
                "@hotsession.migrate(A, version=2)\ndef two(a): a.x.append(2)"
            ),
        ),
        "shop.A()",
        ("it.x == [0, 1]", "it.x == [0, 1, 2, 3]"),
    ),
    Case(
        "slots that have no room for an attribute, taken away again",
        (
            "class A:\n    def __init__(self): self.x, self.y = 1, 2",
            "class A:\n    __slots__ = ('x',)",
            "class A:\n    def f(self): pass",
        ),
        "shop.A()",
        ("it.x == 1 and not hasattr(it, 'y')", "vars(it) == {'x': 1, 'y': 2}"),
    ),
    Case(
        "a pydantic model: a field that was given is renamed, and that undone",
        (
            "class A(pydantic.BaseModel):\n    a: int\n    b: int = 2",
            "@hotsession.renamed(b='c')\nclass A(pydantic.BaseModel):\n    a: int\n    c: int = 3",
            "class A(pydantic.BaseModel):\n    a: int\n    b: int = 2",
        ),
        "shop.A(a=1, b=5)",
        (
            "it.model_dump(exclude_unset=True) == {'a': 1, 'c': 5}",
            "it.model_dump(exclude_unset=True) == {'a': 1, 'b': 5}",
        ),
    ),
    Case(
        "a pydantic model: an extra value declared, undone, and extra values forbidden, and allowed again",
        tuple(
            f"class A(pydantic.BaseModel):\n    {lines}a: int = 1"
            for lines in (_OPEN, _OPEN + "z: int = 0\n    ", _OPEN, "", _OPEN)
        ),
        "shop.A(z=5, y=6)",
        (
            "(it.z, it.model_extra, it.model_dump()) == (5, {'y': 6}, {'z': 5, 'a': 1, 'y': 6})",
            "it == shop.A(z=5, y=6)",
            "it.model_dump() == {'a': 1}",
            "it == shop.A(z=5, y=6) and not setattr(it, 'q', 3) and it.model_dump().pop('q') == 3",
        ),
    ),
    Case(
        "a pydantic model with parameters: it and the class that it was given are edited",
        (
            _ITEM + _PAGE.replace("NEW", ""),
            _ITEM + "    b: int = 2\n" + _PAGE.replace("NEW", "    def f(self): return 'new'\n"),
            _ITEM + _PAGE.replace("NEW", ""),
        ),
        "shop.Page[shop.Item](items=[shop.Item(a=1)])",
        (
            "it.f() == 'new' and type(it) is shop.Page[shop.Item] and it.model_dump() == {'items': [{'a': 1, 'b': 2}]}",
            "type(it) is shop.Page[shop.Item] and it.model_dump() == {'items': [{'a': 1}]}",
        ),
    ),
    Case(
        "a class made in a function",
        tuple(
            f"def make():\n    class A:\n        def f(self): return '{text}'\n    return A()"
            for text in ("old", "new")
        ),
        "shop.make()",
        ("it.f() == 'old' and shop.make().f() == 'new'",),
    ),
    Case(
        "a class moved to another module",
        (
            "@dataclass\nclass A:\n    a: int",
            "from elsewhere import B\nhotsession.moved('shop.A', 'elsewhere.B')",
        ),
        "shop.A(1)",
        ("it == shop.B(1, 2) and type(it).__module__ == 'elsewhere'",),
        {"elsewhere": "@dataclass\nclass B:\n    a: int\n    b: int = 2"},
    ),
    Case(
        "a cycle through lists, dicts, partials and bound methods",
        (
            (
                "class A:\n    def __init__(self):\n"
                "        self.all = {'me': [self, (self.f, functools.partial(A.f, self))]}\n"
                "    def f(self): return 'old'"
            ),
            "class A:\n    def f(self): return 'new'",
        ),
        "shop.A()",
        ("it.all['me'][0] is it and [f() for f in it.all['me'][1]] == ['new', 'new'] and type(it) is shop.A",),
    ),
    Case(
        "a pydantic model: a new validator is asked of new values",
        (
            "class A(pydantic.BaseModel):\n    a: int",
            (
                "class A(pydantic.BaseModel):\n    model_config = {'validate_assignment': True}\n    a: int\n"
                "    b: int = pydantic.Field(3, gt=2)\n"
                "def refuses(it):\n    try: it.b = 1\n    except pydantic.ValidationError: return True"
            ),
        ),
        "shop.A(a=1)",
        ("(it.a, it.b, shop.refuses(it), it.model_dump()) == (1, 3, True, {'a': 1, 'b': 3})",),
    ),
    Case(
        "a declarative model of SQLAlchemy: a method and a column added",
        (
            _MAPPED,
            _MAPPED + "    size: Mapped[int | None]\n    def f(self): return self.name.upper()\n",
            _MAPPED + "    def f(self): return self.name.lower()\n",
        ),
        "shop.A(id=1, name='Ada')",
        (
            "(it.f(), it.size, type(it) is shop.A) == ('ADA', None, True)",
            "(it.f(), type(it) is shop.A) == ('ada', True)",
        ),
    ),
    Case(
        "a declarative model of SQLAlchemy goes into a database after the edit",
        (
            _MAPPED,
            _MAPPED + "    size: Mapped[int | None]\n"
            "def stored(it):\n"
            "    from sqlalchemy import create_engine, select\n"
            "    from sqlalchemy.orm import Session\n"
            "    engine = create_engine('sqlite://')\n"
            "    Base.metadata.create_all(engine)\n"
            "    with Session(engine) as session:\n"
            "        copy = session.merge(it)\n"
            "        copy.size = 3\n"
            "        session.commit()\n"
            "        return [(a.name, a.size) for a in session.scalars(select(A))]\n",
        ),
        "shop.A(id=1, name='Ada')",
        ("shop.stored(it) == [('Ada', 3)]",),
    ),
)

TABLE = {edit.what: edit for edit in EDITS}
CASES = (*map(of_table, EDITS), *RAISING, *MORE)
