"""``python -m snnc``: the command line."""

import sys

from snnc._cli import main

sys.exit(main())
