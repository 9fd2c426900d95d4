"""Pages that the host shows by itself."""
