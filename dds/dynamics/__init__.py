"""How a market moves when nobody solves it: what each rule of play does, round by round.

- ``trajectory``   :class:`Trajectory`, what every rule returns
- ``play``         the allocation game: :func:`sequential`, :func:`simultaneous`, :func:`damped`
- ``walrasian``    a posted price that follows demand: :func:`tatonnement`
- ``kelly``        another mechanism: shares in proportion to bids
- ``cycling``      :func:`cycling_market`, where answering all at once never ends

These are what the solvers are compared with; ``nash`` and ``competitive`` in ``dds.market`` solve.
"""

from dds.dynamics.cycling import cycling_market
from dds.dynamics.kelly import Kelly, kelly
from dds.dynamics.play import damped, sequential, simultaneous
from dds.dynamics.trajectory import Trajectory
from dds.dynamics.walrasian import tatonnement

__all__ = [
    "Kelly",
    "Trajectory",
    "cycling_market",
    "damped",
    "kelly",
    "sequential",
    "simultaneous",
    "tatonnement",
]
