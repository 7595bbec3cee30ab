"""`python -m tally`: what the launcher in the virtual environment runs."""

from tally.cli import main

main()
