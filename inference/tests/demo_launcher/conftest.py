import sys
from pathlib import Path

# The demo's scripts import one another by bare name, as they do when run from the command line.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))
