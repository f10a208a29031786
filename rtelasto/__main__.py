"""``python -m rtelasto``."""

from rtelasto.cli import main

main()
