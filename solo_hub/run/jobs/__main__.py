"""`python -m solo_hub.run.jobs FOLDER`: the supervisor process of a local job."""

import sys
from pathlib import Path

from solo_hub.run.jobs.backends import supervise

sys.exit(supervise(Path(sys.argv[1])))
