"""Which Python runs the simulator: one that has its packages. Understood by Python 3.8, since it runs before them."""

import importlib.util
import os
import sys
from pathlib import Path

NEEDED = ("confluent_kafka", "msgspec", "numpy", "pyarrow", "tqdm")


def with_packages(root: Path) -> None:
    """Return if this Python has the packages; else go on in that of `root/.venv`, or end (code 2) with what to do."""
    if sys.version_info >= (3, 11) and all(importlib.util.find_spec(name) for name in NEEDED):
        return
    python = root / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != root / ".venv":
        os.execv(str(python), [str(python), *sys.argv])  # noqa: S606 the same command in the other Python
    print(f"The simulator's packages are not here yet: run `make setup` in {root}, then try again.", file=sys.stderr)
    sys.exit(2)
