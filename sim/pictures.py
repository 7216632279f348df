"""Pictures as bytes: one style, no display; the same drawing is the same bytes. Matplotlib is loaded when one is drawn."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import Problem, SimError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
DPI = 160


@contextmanager
def style() -> Iterator[None]:
    """Draw alike everywhere, whatever matplotlibrc says; labels are text, whatever they hold. Raises SimError without matplotlib."""
    try:
        import matplotlib
        import matplotlib.backends.backend_agg
    except ImportError as error:
        problem = Problem(
            came=f"a picture needs matplotlib, which cannot be imported ({error})",
            advice="Install it: python -m pip install 'borderflow-sim[plot]'",
        )
        raise SimError([problem]) from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        own: Any = {"text.parse_math": False, "axes.unicode_minus": False, "svg.hashsalt": "sim", "axes.linewidth": 0.6, "pdf.fonttype": 42}
        matplotlib.rcParams.update(own)
        yield


def encoded(draw: Callable[[], Figure], suffix: str, title: str) -> tuple[bytes, list[str]]:
    """Return what `draw` gives, drawn in `style`, as the bytes of a file of this suffix, and what is to be said of it.

    Raises SimError where matplotlib (the extra `plot`) is missing.
    """
    kind = suffix.lower().removeprefix(".")
    no_date: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    stream = io.BytesIO()
    with style(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draw().savefig(stream, format=kind, dpi=DPI, metadata={"Title": title, **no_date})
    boxes = any("missing from" in str(each.message) for each in caught)
    return stream.getvalue(), ["The font of the picture lacks some signs of the labels; they stand as boxes."] * boxes
