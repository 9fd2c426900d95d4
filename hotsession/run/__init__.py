"""What `hotsession run` is made of: a parent that holds the socket, the worker it keeps serving, and the terminal."""
