"""The host, the middleware and what else speaks ASGI."""
