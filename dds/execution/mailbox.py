"""What carries parts of tensors between workers."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from dds.parallel.program import Part

__all__ = ["Mailbox", "Stopped"]


class Stopped(Exception):
    """The play has been ended elsewhere: nothing more will arrive."""


class Mailbox(Protocol):
    """One worker's way to the others, for one play of a program after another.

    Parts of the same key (part, sender, receiver) arrive in the order in which they were sent.
    """

    def send(self, part: Part, receiver: int, values: NDArray[Any]) -> None:
        """Send `values`, perhaps a view of a larger array, and return without waiting.

        What must be kept is copied before this returns, or never written to again: the
        interpreter does not write to an array it has sent.
        """

    def receive(self, part: Part, sender: int) -> NDArray[Any]:
        """Wait for the values of a part; the array stays as it is until the play ends.

        Raises Stopped, and whatever error says that they will not arrive.
        """
        ...
