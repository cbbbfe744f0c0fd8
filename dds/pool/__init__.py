"""The pooled product: clients share a work-conserving server and pay for what they use.

- ``slowdown``     x(rho): :class:`ProcessorSharing`, :class:`Measured`; ``server`` :class:`Pool`
- ``game``         the potential, moves of one client, exact ties; ``search`` where to begin
- ``equilibrium``  :func:`pooled`; ``certificate`` its proof, checked by ``proofs.pooled``
- ``bound``        what no choice of pieces is below: how far from the social optimum we may be
- ``baselines``    what others do, under the same enforcement
- ``recommend``    :func:`recommend`: which product suits these clients, and why
- ``simulator``    single requests through processor sharing and queues: the oracle of the tests
"""

from dds.pool.baselines import Baseline, pooled_baselines, reserved_baselines
from dds.pool.bound import total_bound
from dds.pool.equilibrium import PooledEquilibrium, mean_latency, pooled
from dds.pool.recommend import Candidate, Recommendation, recommend
from dds.pool.server import Pool
from dds.pool.slowdown import Measured, ProcessorSharing, Slowdown

__all__ = [
    "Baseline",
    "Candidate",
    "Measured",
    "Pool",
    "PooledEquilibrium",
    "ProcessorSharing",
    "Recommendation",
    "Slowdown",
    "mean_latency",
    "pooled",
    "pooled_baselines",
    "recommend",
    "reserved_baselines",
    "total_bound",
]
