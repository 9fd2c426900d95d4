"""What a factory does, in a short text that changes when its code does, and only then. Pure.

Line numbers and file names don't count, so a factory that merely moved has the fingerprint it had. The text is the same
in every process of one Python version.
"""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterable
from typing import Any

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))


def fingerprint(factory: Any) -> str | None:
    """The fingerprint of a function, lambda, partial, method, class or builtin; None for other callables.

    Of a function count its code, with constants and nested functions, its defaults, and the values it closes over where
    they are simple: plain data, functions and classes. A class counts by its name alone.

    Args:
        factory: what builds a kept value.
    """
    described = _callable(factory, frozenset())
    return None if described is None else hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


def _callable(function: Any, above: frozenset[int]) -> str | None:
    if id(function) in above:
        return "itself"
    above |= {id(function)}
    if isinstance(function, type):
        return f"class {function.__module__}.{function.__qualname__}"
    if isinstance(function, types.GenericAlias):
        return f"class {function!r}"
    if isinstance(function, types.FunctionType):
        return _function(function, above)
    if isinstance(function, functools.partial):
        inner = _callable(function.func, above)
        return inner and f"partial {inner} {_value(function.args, above)} {_value(function.keywords, above)}"
    if isinstance(function, types.MethodType):
        return f"method {_value(function.__self__, above)} {_value(function.__func__, above)}"
    if isinstance(function, types.BuiltinFunctionType | types.MethodWrapperType | types.MethodDescriptorType):
        return f"builtin {getattr(function, '__module__', None)}.{function.__qualname__}"
    if hasattr(function, "__wrapped__"):  # functools.lru_cache, for one, is no function
        inner = _callable(function.__wrapped__, above)
        return inner and f"{_type(function)} around {inner}"
    return None


def _function(function: types.FunctionType, above: frozenset[int]) -> str:
    parts = [
        _code(function.__code__, above),
        _value(function.__defaults__, above),
        _value(function.__kwdefaults__, above),
        *(_cell(cell, above) for cell in function.__closure__ or ()),
    ]
    return f"function({'; '.join(parts)})"


def _code(code: types.CodeType, above: frozenset[int]) -> str:
    shape = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    constants = _value(code.co_consts, above)
    return f"code({shape} {names} {code.co_code.hex()} {code.co_exceptiontable.hex()} {constants})"


def _cell(cell: types.CellType, above: frozenset[int]) -> str:
    try:
        return _value(cell.cell_contents, above)
    except ValueError:  # assigned to later than the closure was made
        return "empty"


def _value(value: Any, above: frozenset[int]) -> str:
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, types.CodeType):
        return _code(value, above)
    if isinstance(value, tuple | list | set | frozenset | dict):
        if id(value) in above:
            return "itself"
        return _collection(value, above | {id(value)})
    # Anything else counts by its type alone: what it holds is state, not code.
    return _callable(value, above) or f"a {_type(value)}"


def _collection(value: Any, above: frozenset[int]) -> str:
    items: Iterable[str]
    if isinstance(value, dict):
        items = (f"{_value(key, above)}={_value(item, above)}" for key, item in value.items())
    else:
        items = (_value(item, above) for item in value)
    if isinstance(value, set | frozenset):  # their order differs from process to process
        items = sorted(items)
    return f"{type(value).__name__}({', '.join(items)})"


def _type(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
