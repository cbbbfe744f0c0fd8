"""A market that clients join and leave, cleared again in microseconds.

- ``market``    :class:`Market`, the only writer; ``answers`` what it returns
- ``state``     what a reader holds: one frozen revision; ``rows`` its clients, written once
- ``walk``      one client's demand as the price rises, as events (``walk_arrays``: many clients')
- ``index``     everybody's: four sorted ``runs`` of events with sums, merged now and then
- ``posted``    clearing by the index; ``solved`` by a solver, for Nash markets and quanta;
  ``near`` a Nash market after a small change
- ``snapshot``  a market as bytes
- ``engine``    the kernels (``walk_kernels``, ``run_kernels``), compiled where numba is
"""

from dds.online.answers import Allocation, Allocations, Cleared
from dds.online.market import Market

__all__ = ["Allocation", "Allocations", "Cleared", "Market"]
