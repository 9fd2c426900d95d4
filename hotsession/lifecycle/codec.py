"""Codecs: how the data of a session becomes the bytes that a storage keeps, and data again. Knows no storage."""

from __future__ import annotations

import hmac
import json
import pickle
from collections.abc import Iterable, Iterator
from hashlib import blake2b, sha512
from typing import Any, Protocol, TypeVar, runtime_checkable

from hotsession.errors import ConfigurationError, DataNotReadable, DataNotStorable
from hotsession.lifecycle.misfit import Misfit, step, type_name
from hotsession.lifecycle.tag_names import Kinds
from hotsession.lifecycle.tagged import MAX_DEPTH, TAG_ENDS, is_plain, tagged, untagged

T = TypeVar("T")

PICKLE_MARK = b"hotsession-pickle-1:"  # what signed pickles begin with; no JSON does
SIGNATURE_SIZE = 32
SHOWN_PATH = 200  # characters of a path that a message shows


@runtime_checkable
class Codec(Protocol):
    """What a manager expects of a codec; this docstring is the contract.

    * `loads` gives back what `dumps` was given: an equal value of the same types. The outermost value is a dict or what
      a session came to; a dict of the app's own class comes back as a plain dict there.
    * `dumps` changes nothing in what it is given. What it can't write so that it comes back is a `DataNotStorable`.
    * What `loads` can't read, because it was written by another codec, with another key or is damaged, is a
      `DataNotReadable`; never a guess.
    * Both may be called from any thread, and wait for nothing.
    * `name` tells codecs apart in messages and listings.
    """

    name: str

    def dumps(self, value: Any) -> bytes:
        """`value` as bytes."""
        ...

    def loads(self, data: bytes) -> Any:
        """The value that was written as `data`."""
        ...


class JSONCodec:
    """Readable JSON in UTF-8, with tags for what JSON has no words for.

    datetime, date, time, timedelta, UUID, Decimal, bytes, set, frozenset and tuple are tagged as
    ``{"$type": "datetime", "value": "2026-01-31T12:00:00"}``, as are infinite floats and NaN; dataclasses, pydantic
    models and Enums if they are registered. Keys of dicts are strings. What it can't give back exactly, subclasses of
    these types among it, is refused with its path.

    Args:
        types: classes of the app's to register by their own names.

    Example::

        codec = JSONCodec(types=[Message, Color])
        hotsession.sessions("chat", storage=storage, codec=codec)
    """

    name = "json"

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._kinds = Kinds()
        for cls in types:
            self.register(cls)

    def __repr__(self) -> str:
        return f"<JSONCodec, {len(self._kinds)} classes registered>"

    def register(self, cls: type[T], name: str | None = None) -> type[T]:
        """Let instances of a class be stored.

        Args:
            cls: a dataclass, pydantic model or Enum; not its subclasses.
            name: what it is called in the JSON; the name of the class if not given. A class that was renamed keeps
                what is stored readable with its former name.

        Returns:
            `cls`, so that this can be used as a decorator.

        Raises:
            TypeError: it is no such class.
            ConfigurationError: the name stands for another class.
        """
        self._kinds.add(cls, cls.__name__ if name is None else name)
        return cls

    def dumps(self, value: Any) -> bytes:
        """`value` as JSON text.

        Raises:
            DataNotStorable: something in it can't be written so that it comes back.
        """
        value = _without_its_class(value)
        data = _plain(value)
        if data is not None:
            return data
        try:
            return _encode(tagged(value, self._kinds)).encode()
        except Misfit as misfit:
            raise _not_storable(misfit) from misfit.__cause__
        except RecursionError as error:
            raise _too_deep("JSON", value) from error

    def loads(self, data: bytes) -> Any:
        """The value that `data` was written from.

        Raises:
            DataNotReadable: it is no JSON, or holds a tag that is not registered.
        """
        if data.startswith(PICKLE_MARK):
            raise DataNotReadable("The stored data is a signed pickle: read it with SignedPickleCodec and its key.")
        try:
            text = data.decode()
            value = json.loads(text)
            return untagged(value, self._kinds) if TAG_ENDS in text else value
        except Misfit as misfit:
            raise _not_readable(misfit) from misfit.__cause__
        except RecursionError as error:
            raise DataNotReadable("The stored data is nested too deeply to be read as JSON.") from error
        except ValueError as error:
            raise DataNotReadable(
                f"The stored data is no JSON: {error}. It was written by another codec, or is damaged."
            ) from error


_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")).encode


def _plain(value: Any) -> bytes | None:
    """`value` as JSON, if it needs no tags; most needs none, and is written without a look at each part in Python."""
    try:
        if not is_plain(value):
            return None
        text = _encode(value)
        return None if TAG_ENDS in text else text.encode()
    except (ValueError, RecursionError):  # NaN, huge integers, half surrogate pairs
        return None


def _without_its_class(value: Any) -> Any:
    """The session's data is a dict, whatever class of dict a request sees it as."""
    return dict(value) if isinstance(value, dict) and type(value) is not dict else value


class SignedPickleCodec:
    """Pickle, for what JSON can't hold, signed so that only what this app wrote is ever unpickled.

    Unpickling runs code that the pickle names: who knows the key and can write to the storage can run anything.

    Args:
        secret_key: signs what is written. Any string, bytes, or object that `str` turns into a string.
        older_keys: what was signed with one of these is still read; that is how a key is replaced.

    Raises:
        ConfigurationError: a key is missing or empty.
    """

    name = "signed-pickle"

    def __init__(self, secret_key: object, *older_keys: object) -> None:
        self._keys = [_derived(key) for key in (secret_key, *older_keys)]

    def __repr__(self) -> str:
        return f"<SignedPickleCodec with {len(self._keys)} keys>"

    def dumps(self, value: Any) -> bytes:
        """`value` as a signed pickle.

        Raises:
            DataNotStorable: something in it can't be pickled.
        """
        value = _without_its_class(value)
        try:
            pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except RecursionError as error:
            raise _too_deep("a pickle", value) from error
        except Exception as error:  # whatever a __reduce__ or __getstate__ of the app's raises
            raise _not_picklable(value, error) from error
        return b"".join((PICKLE_MARK, _signature(self._keys[0], pickled), pickled))

    def loads(self, data: bytes) -> Any:
        """The value that `data` was written from.

        Raises:
            DataNotReadable: it was not signed with one of the keys, or needs code that is not there.
        """
        if not data.startswith(PICKLE_MARK):
            raise DataNotReadable("The stored data is no signed pickle: it was written by another codec.")
        start = len(PICKLE_MARK) + SIGNATURE_SIZE
        signature, pickled = data[len(PICKLE_MARK) : start], data[start:]
        if not any(hmac.compare_digest(signature, _signature(key, pickled)) for key in self._keys):
            raise DataNotReadable(
                "The stored data was not signed with a key that this codec has, or was changed since: give "
                "SignedPickleCodec the key that it was written with as an older key."
            )
        try:
            return pickle.loads(pickled)  # noqa: S301 - we signed it
        except Exception as error:  # whatever a __setstate__ of the app's raises, and classes that are gone
            raise DataNotReadable(f"The stored data can't be unpickled: {type(error).__name__}: {error}.") from error


def _derived(secret_key: object) -> bytes:
    key = secret_key if isinstance(secret_key, bytes) else str(secret_key).encode()
    if secret_key is None or not key:
        raise ConfigurationError("SignedPickleCodec needs a secret key that is not empty.")
    return sha512(key).digest()


def _signature(key: bytes, pickled: bytes) -> bytes:
    # `person`: the same secret may sign cookies, and what it signs there must mean nothing here.
    return blake2b(pickled, key=key, digest_size=SIGNATURE_SIZE, person=b"hotsessionpickle").digest()


def _not_storable(misfit: Misfit) -> DataNotStorable:
    reason, cure = misfit.reason, misfit.cure
    if misfit.is_loop:
        reason, cure = "it contains itself", "Store the id of what it points back to."
    path = misfit.path
    return DataNotStorable(f"{_shown(path)} can't be stored as JSON: {reason}. {cure}", path=path, type=misfit.type)


def _not_readable(misfit: Misfit) -> DataNotReadable:
    path = misfit.path
    message = f"{_shown(path)} can't be read: {misfit.reason}. {misfit.cure}"
    return DataNotReadable(message, path=path, type=misfit.type)


def _too_deep(form: str, value: object) -> DataNotStorable:
    return DataNotStorable(
        f"data can't be stored as {form}: it is nested too deeply for the stack that is left. Store it less nested.",
        path="data",
        type=type_name(type(value)),
    )


def _shown(path: str) -> str:
    return path if len(path) <= SHOWN_PATH else f"{path[: SHOWN_PATH // 2]} ... {path[-SHOWN_PATH // 2 :]}"


def _not_picklable(value: object, error: Exception) -> DataNotStorable:
    """Goes down into what can't be pickled for as long as it is one of the parts that can't be."""
    path = "data"
    for _ in range(MAX_DEPTH):
        culprit = next(((name, part) for name, part in _parts(value) if not _is_picklable(part)), None)
        if culprit is None:
            break
        path, value = path + culprit[0], culprit[1]
    name = type_name(type(value))
    return DataNotStorable(
        f"{_shown(path)} can't be stored as a pickle: it is of the type {name}: {error}. "
        "Keep it in a service or with hotsession.keep(), and store what it can be made of.",
        path=path,
        type=name,
    )


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield step(key) if isinstance(key, str) else f"[{key!r}]", each
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield step(index), each
    elif isinstance(value, set | frozenset):
        for each in value:
            yield "{...}", each
    else:
        for name, each in getattr(value, "__dict__", {}).items() if not isinstance(value, type) else ():
            yield f".{name}", each


def _is_picklable(value: object) -> bool:
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - the question is whether it raises
        return False
    return True
