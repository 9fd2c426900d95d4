"""The rules of a session's life."""
