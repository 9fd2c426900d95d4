"""The secret in the cookie."""

from __future__ import annotations

import re

from hotsession.lifecycle.token import TOKEN_LENGTH, Signer, hash_token, new_token


def test_tokens_are_random_and_fit_a_cookie() -> None:
    """Each is another one, of 192 bits, in characters that no cookie needs to quote."""
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(rb"[A-Za-z0-9_-]{32}", token) for token in tokens)


def test_a_hash_does_not_show_its_token() -> None:
    """What a storage keeps is always the same for a token and has nothing of it."""
    token = new_token()
    assert hash_token(token) == hash_token(token) != hash_token(new_token())
    assert token not in hash_token(token)


def test_a_signed_token_comes_back() -> None:
    """Our own signature is taken off again, and the length is known beforehand."""
    signer, token = Signer("secret"), new_token()
    signed = signer.sign(token)
    assert len(signed) == signer.length > TOKEN_LENGTH
    assert signer.unsigned([signed]) == [token]


def test_what_was_not_signed_with_the_key_is_left_out() -> None:
    """Changed tokens, changed signatures and those of another key are no tokens of ours."""
    signer, token = Signer("secret"), new_token()
    signed = signer.sign(token)
    forged = [new_token() + signed[TOKEN_LENGTH:], token + b"A" * TOKEN_LENGTH, Signer("other").sign(token)]
    assert signer.unsigned([*forged, signed]) == [token]


def test_without_a_key_tokens_stay_as_they_are() -> None:
    """No key, no signature."""
    token = new_token()
    assert Signer(None).sign(token) == token
    assert Signer(None).length == len(token)


def test_a_repr_shows_no_key() -> None:
    """What is printed into logs must not hold the secret."""
    assert "secret" not in repr(Signer("secret"))
