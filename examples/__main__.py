"""``python3 -m examples [NAME]``: set everything up and run an example under hotsession on port 8000."""

import sys

from examples.bootstrap import ROOT, become, environment


def main() -> None:
    """Run the example that the command line names, the chat if it names none; options go to `hotsession run`."""
    names = sorted(path.parent.name for path in (ROOT / "examples").glob("*/main.py"))
    name, options = (sys.argv[1], sys.argv[2:]) if sys.argv[1:2] and sys.argv[1][:1] != "-" else ("chat", sys.argv[1:])
    if name not in names:
        sys.exit(f"There is no example called {name}; there are: {', '.join(names)}")
    directory = ROOT / "examples" / name
    python = environment("examples")
    become(
        str(python), "-m", "hotsession", "run", str(directory / "main.py"),
        "--reload-dir", str(directory), "--port", "8000", *options,
    )  # fmt: skip


if __name__ == "__main__":
    main()
