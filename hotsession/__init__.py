"""Save a file, keep the session: hot code reload for stateful ASGI apps."""

__version__ = "0.1.0"
