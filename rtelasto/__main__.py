"""``python -m rtelasto``."""

from rtelasto.cli import main

# A process started by multiprocessing imports this module again, under another name.
if __name__ == "__main__":
    main()
