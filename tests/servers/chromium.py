"""The browser: Debian's Chromium, or one that is named."""

import contextlib
import shutil
from pathlib import Path

from tests.servers.missing import Missing


def chromium(folder: Path, stack: contextlib.ExitStack) -> str:
    """Its path. Raises Missing."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise Missing("there is no Chromium (apt-get install chromium)")
