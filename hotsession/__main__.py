"""``python -m hotsession``."""

from hotsession.cli import main

if __name__ == "__main__":
    main(prog_name="hotsession")
