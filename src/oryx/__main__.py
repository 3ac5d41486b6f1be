"""`python -m oryx` is `oryx`."""

import sys

from oryx.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
