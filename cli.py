"""A launcher: ``python cli.py …`` is ``mmud …``."""

from mmud.cli import main

if __name__ == "__main__":
    main()
