"""Tables for people: columns side by side, and kinds of operators short enough to read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["aligned", "short_kind"]

#: Members of a kind beyond which the middle is left out.
_MOST_MEMBERS = 5


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """One line per row; the columns in `left` to the left, the others, numbers, to the right.

    Names come from models: what is no character to print, such as a new line, is escaped.
    """
    rows = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def short_kind(kind: str) -> str:
    """``Conv+BatchNormalization+Relu`` as ``Conv + BatchNorm + Relu``, cut where it is long."""
    members = kind.replace("Normalization", "Norm").split("+")
    if len(members) > _MOST_MEMBERS:
        members = [*members[:2], f"{len(members) - 3} more", members[-1]]
    return " + ".join(members)
