"""Carrying what is kept across a process restart: a snapshot outside of the process, written as it changes."""
