"""A render service: jobs that take a while, leave files on disk, and survive whatever happens to the server."""
