"""Parts on their way: what came for one run, and how a worker's thread sends and waits.

A program is played on a thread, messages come and go on the event loop; a :class:`Box` stands
between them.  It takes what the program announced and nothing else.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dds.engines import Executable, TensorSpec
from dds.errors import DdsError, InvalidInput
from dds.parallel.program import Compute, Part, Program, Receive, Send
from dds.profile.runtime import numpy_type
from dds.session.refusals import TooLate

__all__ = ["Box", "Form", "PostedMailbox", "announced"]

Array = NDArray[Any]


class Form(NamedTuple):
    """Type and shape of a part."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def announced(
    program: Program,
    executables: Sequence[Executable],
    known: Mapping[Part, Form] = MappingProxyType({}),
) -> dict[Receive, Form]:
    """What a program will be sent: the form of each part it receives.

    executables: of its compute steps, in order; known: forms of parts that no model may take.

    Raises InvalidInput where a model has other inputs or outputs than its step, takes or makes a
    part in two forms, or one of a type or shape that is not fixed or not that of its region, and
    for a part of which the form is not known.
    """
    forms = dict(known)
    computes = [step for step in program.steps if isinstance(step, Compute)]
    for at, (compute, loaded) in enumerate(zip(computes, executables, strict=True)):
        for bound, side in ((compute.inputs, loaded.inputs), (compute.outputs, loaded.outputs)):
            names = {spec.name for spec in side}
            if names != bound.keys():
                raise InvalidInput(
                    f"program: compute step {at} binds {sorted(bound)}; its model has "
                    f"{sorted(names)}"
                )
            for spec in side:
                form, part = _form(spec), bound[spec.name]
                _check_region(part, form)
                if forms.setdefault(part, form) != form:
                    raise InvalidInput(f"program: {part} is {form} and {forms[part]}")
    found: dict[Receive, Form] = {}
    for step in program.steps:
        # Parts of parts are checked on arrival; what is in no form here is the program's own input.
        if isinstance(step, Send) and step.within.region.axis < 0 and step.within in forms:
            _check_inside(step.part, forms[step.within])
        if isinstance(step, Receive):
            if step.part not in forms:
                raise InvalidInput(f"program: {step.part} is received, but no model takes it")
            found[step] = forms[step.part]
    return found


def _check_region(part: Part, form: Form) -> None:
    """Raise InvalidInput unless something of this form can be this part."""
    axis, low, high = part.region
    if axis >= 0 and not (axis < len(form.shape) and form.shape[axis] == high - low):
        raise InvalidInput(f"program: {part} is {form}, which is not of its region's size")


def _check_inside(part: Part, whole: Form) -> None:
    """Raise InvalidInput unless a part can be cut out of its tensor, which has this form."""
    axis, _, high = part.region
    if axis >= 0 and not (axis < len(whole.shape) and high <= whole.shape[axis]):
        raise InvalidInput(f"program: {part} is not inside of its tensor, which is {whole}")


def _form(spec: TensorSpec) -> Form:
    if min(spec.shape, default=0) < 0:
        raise InvalidInput(f"program: {spec.name!r} is {spec}; fix its shape in the model")
    return Form(numpy_type(spec.name, spec.dtype).name, spec.shape)


class Box:
    """What came for one run so far.

    expected: what may come, each once; clock: seconds.
    """

    def __init__(
        self, expected: Mapping[Receive, Form], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._expected = expected
        self._clock = clock
        self._came: dict[Receive, Array] = {}
        self._error: DdsError | None = None
        self._changed = threading.Condition()

    def put(self, step: Receive, values: Array) -> None:
        """A part came; raises InvalidInput unless it was announced so, and not here yet."""
        form = self._expected.get(step)
        if form is None:
            raise InvalidInput(f"delivery: nobody waits for {step.part} from {step.sender}")
        if form != (values.dtype.name, values.shape):
            raise InvalidInput(
                f"delivery: {step.part} is {values.dtype} {list(values.shape)}; announced was "
                f"{form.dtype} {list(form.shape)}"
            )
        with self._changed:
            if step in self._came:
                raise InvalidInput(f"delivery: {step.part} from {step.sender} came twice")
            self._came[step] = values
            self._changed.notify_all()

    def take(self, step: Receive, deadline: float) -> Array:
        """Wait for a part; raises TooLate at the deadline, and what :meth:`close` was told."""
        with self._changed:
            while step not in self._came:
                if self._error is not None:
                    raise self._error
                rest = deadline - self._clock()
                if rest <= 0.0:
                    raise TooLate(f"{step.part} did not come from worker {step.sender} in time")
                self._changed.wait(min(rest, threading.TIMEOUT_MAX))
            return self._came[step]

    def close(self, error: DdsError) -> None:
        """The run is given up: whoever waits is told so."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class PostedMailbox:
    """One worker's :class:`dds.execution.mailbox.Mailbox` for one run.

    box: what comes; post: carries values to a worker without waiting, called on the thread that
    plays; deadline: on the clock of the box.
    """

    box: Box
    post: Callable[[Part, int, Array], None]
    deadline: float

    def send(self, part: Part, receiver: int, values: Array) -> None:
        """See :class:`dds.execution.mailbox.Mailbox`."""
        self.post(part, receiver, values)

    def receive(self, part: Part, sender: int) -> Array:
        """See :class:`dds.execution.mailbox.Mailbox`; raises like :meth:`Box.take`."""
        return self.box.take(Receive(part, sender), self.deadline)
