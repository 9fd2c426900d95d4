"""What is around this process: the commands, servers and reloaders above it, its workers beside it, and its signals."""
