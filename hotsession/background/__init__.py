"""Named tasks of the process, which know what a reload means for them. Knows no ASGI and no host."""
