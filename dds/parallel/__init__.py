"""Operators in parallel: a model in tiles, each on the worker where it is done soonest.

In reading order:

- ``tiles``      what a tile is: which operators, which rows or channels; what it reads and costs
- ``normalise``  batch norms folded into convolutions, LRN as a convolution, before slicing
- ``rewrite``    a tile as an ONNX model of its own, put together in ``rewrite_model``, operator by
  operator in ``rewrite_nodes``
- ``workers``    who can run tiles, and the links between them
- ``granularity``  runs of operators that belong together, and whether it pays to slice them
- ``schedule``   what a schedule is, and the search for one: ``search_structure`` (what a graph
  allows), ``search_layouts`` (how workers may share it), ``search_tables`` (what that costs),
  ``search_labels`` (layouts along the blocks), ``search_exact`` (few operators),
  ``search_timeline`` (when everything happens), ``search_moves`` (local search)
- ``program``    what each worker does to carry a schedule out: ``program_parts`` (who makes and
  sends what a task reads), ``program_groups`` (tasks that become one model), ``rewrite_compute``
- ``candidates``  schedules worth trying, as nobody knows what starting a slice should count
- ``frontier``   what a client with helpers offers the market
- ``baselines``, ``bound``, ``checker``  what to compare a schedule with, and what it must satisfy
"""

from dds.parallel.tiles import Layout, Region, Tile, blocks, sliceable

__all__ = ["Layout", "Region", "Tile", "blocks", "sliceable"]
