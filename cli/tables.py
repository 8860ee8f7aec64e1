"""Tables that fit a terminal of 80 columns, and aren't cut short where nobody looks at a terminal."""

import os
import sys

from rich.console import Console
from rich.table import Table

# Where the output is piped there is no width to keep to; wide enough for every column in one line.
PIPED_WIDTH = 240
# From here on there is room for two ids in a line.
WIDE = 120


def open_console() -> Console:
    """The terminal, in its own width; or a file or pipe, without a width that would cut anything short."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    return Console(width=width, highlight=False)


def table(title: str, *columns: str) -> Table:
    """A table in the style of all of them. A column `id` or `instance` is never cut; others go on below."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    made.show_edge = False
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in ("id", "instance"))
    return made
