"""``python -m trials.simulation`` is ``tally network simulate``."""

import sys

from tally.cli import main

if __name__ == "__main__":
    main(["network", "simulate", *sys.argv[1:]])
