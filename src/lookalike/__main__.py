"""``python -m lookalike``."""

from lookalike.cli.app import main

main()
