"""The session cookie, as it is read and written."""

from __future__ import annotations

from typing import Any

import pytest

from hotsession.asgi.cookies import CANDIDATES, SessionCookie
from hotsession.lifecycle.token import Signer, new_token

TOKEN = b"A" * 32
OTHER = b"B" * 32


def cookie(name: str = "session", secret_key: str | None = None, **options: Any) -> SessionCookie:
    """A cookie with Starlette's defaults."""
    defaults: dict[str, Any] = {
        "max_age": 60,
        "path": "/",
        "same_site": "lax",
        "https_only": False,
        "domain": None,
        "partitioned": False,
    }
    return SessionCookie(name, signer=Signer(secret_key), **{**defaults, **options})


def read(*headers: bytes, name: str = "session") -> list[bytes]:
    """The tokens in some cookie headers."""
    return cookie(name).tokens([(b"host", b"session=" + TOKEN), *((b"cookie", header) for header in headers)])


@pytest.mark.parametrize(
    "header",
    [
        b"session=%b",
        b"session=%b; theme=dark",
        b"theme=dark; session=%b",
        b"theme=dark;session=%b;a=b",
        b"xsession=" + OTHER + b"; session=%b",
        b"session=" + b"C" * 31 + b"; session=%b",
        b"=; session; session=%b",
    ],
)
def test_the_token_is_found_among_other_cookies(header: bytes) -> None:
    """Wherever it stands, and whatever else is called similarly."""
    assert read(header % TOKEN) == [TOKEN]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"session",
        b"session=",
        b"session=null",
        b"xsession=" + TOKEN,
        b"SESSION=" + TOKEN,
        b"session.x=" + TOKEN,
        b"session=" + TOKEN + b"A",
        b"session=" + TOKEN[:-1],
        b"session=" + TOKEN[:-1] + b"\xff",
        b"session=" + b"A" * 100_000,
        b'session="' + TOKEN + b'"',
        b"session=eyJhIjogMX0=.aR0Z5g.Jp1_8Nq3bVxkTQ8s1iFJ2tS4O7I",
    ],
)
def test_what_can_not_be_ours_is_left_alone(header: bytes) -> None:
    """Other names, other lengths, other characters, Starlette's own sessions."""
    assert read(header) == []


def test_several_cookies_of_one_name_are_all_candidates() -> None:
    """A browser sends those of several paths; HTTP/2 splits the header; a flood of them is cut off."""
    assert read(b"session=" + TOKEN + b"; session=" + OTHER) == [TOKEN, OTHER]
    assert read(b"session=" + TOKEN, b"session=" + OTHER) == [TOKEN, OTHER]
    flood = b"; ".join(b"session=" + new_token() for _ in range(1000))
    assert len(read(flood)) == CANDIDATES


def test_a_name_with_special_characters() -> None:
    """A cookie's name is no regular expression."""
    assert read(b"a.b=" + TOKEN, name="a.b") == [TOKEN]
    assert read(b"axb=" + TOKEN, name="a.b") == []


def test_a_signed_cookie_is_found_by_its_signature() -> None:
    """What was given comes back; unsigned tokens and forgeries don't."""
    signed = cookie(secret_key="secret")
    value = signed.giving(TOKEN).partition(b"; ")[0]
    assert signed.tokens([(b"cookie", value)]) == [TOKEN]
    assert signed.tokens([(b"cookie", b"session=" + TOKEN)]) == []
    assert cookie(secret_key="other").tokens([(b"cookie", value)]) == []
    assert cookie().tokens([(b"cookie", value)]) == []


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ({}, "path=/; Max-Age=60; httponly; samesite=lax"),
        ({"max_age": None}, "path=/; httponly; samesite=lax"),
        ({"max_age": 0}, "path=/; Max-Age=0; httponly; samesite=lax"),
        ({"path": "/app", "same_site": "strict"}, "path=/app; Max-Age=60; httponly; samesite=strict"),
        ({"https_only": True}, "path=/; Max-Age=60; httponly; samesite=lax; secure"),
        ({"domain": ".example.com"}, "path=/; Max-Age=60; httponly; samesite=lax; domain=.example.com"),
        (
            {"https_only": True, "same_site": "none", "partitioned": True},
            "path=/; Max-Age=60; httponly; samesite=none; secure; partitioned",
        ),
    ],
)
def test_attributes_are_those_of_starlette(options: dict[str, Any], attributes: str) -> None:
    """The same options give the same header, for giving a cookie and, in all but its lifetime, for taking it."""
    given = cookie(**options).giving(TOKEN).decode()
    assert given == f"session={TOKEN.decode()}; {attributes}"
    taken = cookie(**options).taking().decode()
    assert taken.startswith("session=null; path=")
    assert "expires=Thu, 01 Jan 1970 00:00:00 GMT; " in taken
    assert set(attributes.split("; ")) - {"Max-Age=60", "Max-Age=0"} <= set(taken.split("; "))
