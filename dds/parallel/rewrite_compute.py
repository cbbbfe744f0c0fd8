"""Several tiles of one worker as one ONNX model.

What a tile reads may lie in pieces, made here or received: they are cropped and joined inside
the model, and so is what it returns of a tensor, so that a runtime can fuse all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dds.errors import InternalError, InvalidInput
from dds.parallel.rewrite import Source, within
from dds.parallel.rewrite_model import Draft
from dds.parallel.tiles import WHOLE, Region, Tile, holds, tile_outputs, tile_regions

__all__ = ["Held", "Job", "jobs_model"]

_FIRST_CONCAT_OF_ALL = 4

#: A tensor, by index, and the region of it that is held.
Held = tuple[int, Region]


@dataclass(frozen=True)
class Job:
    """A tile, and of every tensor it reads the held regions it takes that from, side by side.

    tile: None to only join the tensors in `reads`, each to a whole.
    """

    tile: Tile | None
    reads: Mapping[int, Sequence[Region]]


@dataclass(frozen=True)
class JobsModel:
    """ONNX bytes, and what each input takes and each output makes."""

    model: bytes
    inputs: dict[str, Held]
    outputs: dict[str, Held]


def jobs_model(source: Source, jobs: Sequence[Job], outputs: Iterable[Held]) -> JobsModel:
    """The model that does `jobs` in order and returns `outputs`.

    Its inputs are the held regions that no job before their reader has made.  Regions of a whole
    tensor keep its name; the others are called like ``conv1[2:0:28]``.

    Raises InvalidInput like :meth:`Source.tile <dds.parallel.rewrite.Source.tile>`, and for regions
    of a type that the ``Concat`` of the model's opset does not join.
    """
    return _Writer(source).write(jobs, outputs)


class _Writer:
    """The model of some jobs in the making."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.draft: Draft = source.draft()
        #: What there is in the draft, by name.
        self.names: dict[Held, str] = {}
        self.inputs: dict[str, Held] = {}
        #: Tensors whose own name is taken.
        self.whole: set[int] = set()

    def write(self, jobs: Sequence[Job], outputs: Iterable[Held]) -> JobsModel:
        for job in jobs:
            if job.tile is None:
                for t, pieces in job.reads.items():
                    self.names[t, WHOLE] = self._joined(t, WHOLE, pieces)
            else:
                self._tile(job.tile, job.reads)
        returned = {self._output(held): held for held in outputs}
        forms = ([(name, *self.source.form(*held)) for name, held in them.items()]
                 for them in (self.inputs, returned))  # fmt: skip
        return JobsModel(self.draft.finish(*forms), self.inputs, returned)

    def _tile(self, tile: Tile, reads: Mapping[int, Sequence[Region]]) -> None:
        graph = self.source.graph
        regions = tile_regions(graph, tile)
        held = {t: self.source.plain(t, region) for t, region in regions.items()}
        names = {t: self._joined(t, held[t], pieces) for t, pieces in reads.items()}
        names.update((t, self._name(t, region)) for t, region in held.items() if t not in names)
        self.source.add(self.draft, tile.operators, regions, names)
        returns = tile_outputs(graph, tile.operators, tile.kind, tile.low, tile.high)
        for t, region in returns.items():
            self.names[t, region] = self._crop(names[t], held[t], region)

    def _joined(self, t: int, region: Region, pieces: Sequence[Region]) -> str:
        """The name of a region of a tensor that lies in held pieces."""
        if (t, region) in self.names:
            return self.names[t, region]
        if len(pieces) == 1:
            return self._crop(self._held(t, pieces[0]), pieces[0], region)
        axis = pieces[0].axis
        tensor = self.source.graph.tensors[t]
        if self.draft.opset < _FIRST_CONCAT_OF_ALL and not tensor.dtype.startswith("float"):
            raise InvalidInput(
                f"slices of {tensor.name!r} ({tensor.dtype}) would be joined by Concat, which "
                f"in opset {self.draft.opset} joins only floats; upgrade the model: dds convert"
            )
        size = tensor.shape[axis]
        at, end = (region.low, region.high) if region.axis == axis else (0, size)
        names = []
        for piece in sorted(pieces):
            part = Region(axis, at, min(piece.high, end))
            name = self._crop(self._held(t, piece), piece, part)
            if region.axis not in (-1, axis):
                name = self.draft.crop(name, region)
            names.append(name)
            at = part.high
        joined = self.names[t, region] = self._name(t, region)
        self.draft.join(names, axis, joined)
        return joined

    def _held(self, t: int, region: Region) -> str:
        """The name of what is held; an input, if no job here has made it."""
        if (t, region) not in self.names:
            name = self.names[t, region] = self._name(t, region)
            self.inputs[name] = (t, region)
        return self.names[t, region]

    def _output(self, held: Held) -> str:
        """The name of what is returned, all or a part of what some job has made."""
        t, region = held
        for (other, made), name in self.names.items():
            if other == t and name not in self.inputs and holds(made, region):
                return self._crop(name, made, region)
        raise InternalError(f"no job makes {region} of {self.source.graph.tensors[t].name!r}")

    def _crop(self, name: str, held: Region, region: Region) -> str:
        return name if held == region else self.draft.crop(name, within(region, held))

    def _name(self, t: int, region: Region) -> str:
        """A name for a region: for all of it the tensor's, by which bodies of control flow read."""
        name = self.source.graph.tensors[t].name
        if region == WHOLE and t not in self.whole:
            self.whole.add(t)
            return name
        return self.draft.fresh(f"{name}[{region.axis}:{region.low}:{region.high}]")
