"""Operators in parallel: a model in tiles, each on the worker where it is done soonest.

In reading order:

- ``tiles``      what a tile is: which operators, which rows or channels; what it reads and costs
- ``normalise``  batch norms folded into convolutions, LRN as a convolution, before slicing
- ``rewrite``    a tile as an ONNX model of its own; ``rewrite_nodes`` operator by operator
"""

from dds.parallel.tiles import Layout, Region, Tile, blocks, sliceable

__all__ = ["Layout", "Region", "Tile", "blocks", "sliceable"]
