"""`python -m trailkeeper.cli`."""

import sys

from trailkeeper.cli import main

sys.exit(main())
