"""A workbench for websites: previews that stop and go on, and a bot that remembers what it found."""
