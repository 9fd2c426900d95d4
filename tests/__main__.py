"""``python3 -m tests``: set everything up and run all tests, in several processes; arguments go to pytest."""

import os
import sys

from examples.bootstrap import ROOT, become, environment


def main() -> None:
    """Run pytest in the project's own virtual environment; ``-n 0`` runs it in one process."""
    python = environment("dev")
    os.chdir(str(ROOT))
    become(str(python), "-m", "pytest", "--numprocesses=auto", "--dist=loadfile", *sys.argv[1:])


if __name__ == "__main__":
    main()
