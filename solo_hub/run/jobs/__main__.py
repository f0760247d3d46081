"""`python -m solo_hub.run.jobs FOLDER`: the process that keeps a job of this machine."""

import sys
from pathlib import Path

from solo_hub.run.jobs.backends import keep

sys.exit(keep(Path(sys.argv[1])))
