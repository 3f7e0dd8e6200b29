"""Arrays as bytes and back: what a layer of the watcher leaves for the one that goes on."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np


def pack(layout: str, arrays: Mapping[str, Any]) -> bytes:
    """Arrays, none of which is called "layout"; nothing in the bytes can run."""
    sink = io.BytesIO()
    np.savez(sink, **{"layout": np.array(layout), **arrays})
    return sink.getvalue()


def unpack(layout: str, data: bytes) -> dict[str, np.ndarray] | None:
    """What `pack` was given; None if it was packed under another layout."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return dict(found) if str(found["layout"]) == layout else None
