"""The session cookie: reading it from a request's headers and writing it into a response's. Knows no session."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from hotsession.lifecycle.token import Signer

CANDIDATES = 4  # a browser may send cookies of one name from several paths and domains; more of them is mischief


class SessionCookie:
    """One cookie name with its attributes, as Starlette's session middleware has them.

    Args:
        name: of the cookie.
        signer: tells our tokens from others'.
        max_age: seconds that the browser keeps it; None for as long as it runs.
        path: below which the browser sends it.
        same_site: ``"lax"``, ``"strict"`` or ``"none"``.
        https_only: whether it is sent over HTTPS only.
        domain: that it is for, subdomains included; None for this host alone.
        partitioned: whether it is kept apart per embedding site.
    """

    def __init__(
        self,
        name: str,
        *,
        signer: Signer,
        max_age: int | None,
        path: str,
        same_site: Literal["lax", "strict", "none"],
        https_only: bool,
        domain: str | None,
        partitioned: bool,
    ) -> None:
        self.name = name
        self.max_age = max_age
        self._sign = signer.sign if signer.has_key else None
        self._unsigned = signer.unsigned if signer.has_key else None
        self._prefix = prefix = name.encode("latin-1") + b"="
        quoted = re.escape(prefix)  # not the end of a longer name, and exactly as long as what we gave
        self._find = re.compile(rb"%b(?<![^; ]%b)([A-Za-z0-9_-]{%d})(?![^;])" % (quoted, quoted, signer.length)).findall
        flags = f"httponly; samesite={same_site}"
        if https_only:
            flags += "; secure"
        if domain is not None:
            flags += f"; domain={domain}"
        if partitioned:
            flags += "; partitioned"
        lasting = "" if max_age is None else f"Max-Age={max_age}; "
        gone = f"{name}=null; path={path}; expires=Thu, 01 Jan 1970 00:00:00 GMT; {flags}"
        self._attributes = f"; path={path}; {lasting}{flags}".encode("latin-1")
        self._gone = gone.encode("latin-1")

    def __repr__(self) -> str:
        return f"<SessionCookie {self.name!r} max_age={self.max_age}>"

    def tokens(self, headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """What in the headers of a request may be one of our tokens, in their order."""
        values: list[bytes] = []
        for name, value in headers:
            if name == b"cookie":
                values = values + self._find(value) if values else self._find(value)
        if len(values) > CANDIDATES:
            del values[CANDIDATES:]
        return values if self._unsigned is None else self._unsigned(values)

    def giving(self, token: bytes) -> bytes:
        """The Set-Cookie header that gives a browser its token."""
        return self._prefix + (token if self._sign is None else self._sign(token)) + self._attributes

    def taking(self) -> bytes:
        """The Set-Cookie header that makes a browser forget its token."""
        return self._gone
