"""The adapter between the evaluation harness and the production detector: its entries are called `wellrange`, and
`wellrange_7_nights` is the same with only the last seven nights of history.

The harness executes this file with DAILY and DETS in scope. It only translates columns; the numbers come from
`analytics`. What people share is learned from the dev share when this file is read, by the production code.
"""

import sys
from pathlib import Path

_HERE = Path(sys._getframe().f_code.co_filename).resolve()
sys.path.insert(0, str(_HERE.parent.parent))

from benchmarks.detection_adapter import entries  # noqa: E402

_daily, _stream = entries()
DAILY.update(_daily)  # noqa: F821  the harness puts both names into scope
DETS.update(_stream)  # noqa: F821
