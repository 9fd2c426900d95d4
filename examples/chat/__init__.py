"""A trip planner to chat with: what hotsession is for, as a small real app."""
