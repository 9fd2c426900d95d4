"""What a pickle says, as a tree that can be written again: read without importing or running anything it names.

So a value can be taken apart whose classes are gone. It knows nothing of why they are.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar


class Name:
    """A class or function that the pickle names.

    Args:
        module: the module that it is looked up in.
        name: its dotted name there.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __repr__(self) -> str:
        return f"{self.module}.{self.name}"


class Made:
    """An object that the pickle has made.

    Args:
        opcode: how: by a call, or past `__init__`.
        make: what makes it.
        arguments: a tuple each of what is given to it.

    Attributes:
        then: what is done to it afterwards, in order: the opcode and what goes with it.
    """

    __slots__ = ("arguments", "make", "opcode", "then")

    def __init__(self, opcode: bytes, make: Any, *arguments: Any) -> None:
        self.opcode = opcode
        self.make = make
        self.arguments = arguments
        self.then: list[tuple[bytes, Any]] = []

    def __repr__(self) -> str:
        return f"<{self.make!r}>"

    # What the unpickler calls on an object. Anything else it does itself, or in `Reader` below.

    def __setstate__(self, state: Any) -> None:
        self.then.append((pickle.BUILD, state))

    def extend(self, items: list[Any]) -> None:
        """Items are appended."""
        self.then.append((pickle.APPENDS, items))

    def append(self, item: Any) -> None:
        """One item is appended."""
        self.extend([item])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.then.append((pickle.SETITEMS, (key, value)))

    def add(self, item: Any) -> None:
        """An item is put into a set."""
        self.then.append((pickle.ADDITEMS, item))


class Reader(pickle._Unpickler):
    """An unpickler that makes no object but plain built-in ones, names and `Made`."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def find_class(self, module: str, name: str) -> Any:
        """Whatever is named."""
        return Name(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """What stood in for a container is that container."""
        return pid

    def load_reduce(self) -> None:
        """A call."""
        arguments = self.stack.pop()
        self.stack[-1] = Made(pickle.REDUCE, self.stack[-1], arguments)

    def load_newobj(self) -> None:
        """An object made past `__init__`."""
        arguments = self.stack.pop()
        self.stack[-1] = Made(pickle.NEWOBJ, self.stack[-1], arguments)

    def load_newobj_ex(self) -> None:
        """The same, with named arguments."""
        named = self.stack.pop()
        arguments = self.stack.pop()
        self.stack[-1] = Made(pickle.NEWOBJ_EX, self.stack[-1], arguments, named)

    def load_pop(self) -> None:
        """A result that is thrown away is that of a state setter, if what it was given lies right below it."""
        if not self.stack:
            self.pop_mark()
            return
        result = self.stack.pop()
        below = self.stack[-1] if self.stack else None
        if isinstance(result, Made) and isinstance(below, Made) and result.opcode == pickle.REDUCE:
            (arguments,) = result.arguments
            if len(arguments) == 2 and arguments[0] is below:
                below.then.append((pickle.REDUCE, (result.make, arguments[1])))

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.POP[0]] = load_pop


class Writer(pickle._Pickler):
    """A pickler that writes names and `Made` as what they were read from."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)
    memo: dict[int, tuple[int, Any]]
    save: Callable[[Any], None]
    write: Callable[[bytes], None]
    memoize: Callable[[Any], None]
    get: Callable[[int], bytes]

    def save_name(self, name: Name) -> None:
        """Write a name."""
        self.save(name.module)
        self.save(name.name)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(name)

    def save_made(self, made: Made) -> None:
        """Write how an object is made, and what is done to it."""
        self.save(made.make)
        for each in made.arguments:
            self.save(each)
        self.write(made.opcode)
        if id(made) in self.memo:  # it was met, and so made, inside of its own arguments
            self.write(pickle.POP + self.get(self.memo[id(made)][0]))
            return
        self.memoize(made)
        for opcode, what in made.then:
            self._save_then(made, opcode, what)

    def _save_then(self, made: Made, opcode: bytes, what: Any) -> None:
        if opcode == pickle.BUILD:
            self.save(what)
            self.write(opcode)
        elif opcode == pickle.REDUCE:
            setter, state = what
            self.save(setter)
            self.save(made)
            self.save(state)
            self.write(pickle.TUPLE2 + pickle.REDUCE + pickle.POP)
        else:
            self.write(pickle.MARK)
            for each in [what] if opcode == pickle.ADDITEMS else what:
                self.save(each)
            self.write(opcode)

    dispatch[Name] = save_name
    dispatch[Made] = save_made


def read(data: bytes) -> Any:
    """The tree of what a pickle says."""
    return Reader(io.BytesIO(data)).load()


def written(tree: Any) -> bytes:
    """A tree, or a part of one, as a pickle again."""
    file = io.BytesIO()
    Writer(file, 5).dump(tree)
    return file.getvalue()
