"""`python -m sora_core`, which is also the console script `sora`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
