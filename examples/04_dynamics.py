"""Twelve equal clients: what happens when nobody solves their market."""

from dds import nash
from dds.dynamics import Trajectory, cycling_market, damped, kelly, sequential, simultaneous

clients, tariff = cycling_market()
print(f"{len(clients)} clients, each with 0.5 core s of work or 2 s locally; {tariff}")


def show(seen: Trajectory) -> None:
    """The rounds that matter, and how it ended."""
    print(f"{seen.rule}:")
    for row in seen.rows[:8]:
        print(
            f"  round {row.round}: {row.total:6.3f} cores, {row.movers:2d} moved, "
            f"price {row.price:6.3f}, largest regret {row.regret:.3f}"
        )
    if seen.converged:
        end = "nobody wants to move"
    else:
        end = f"state repeats every {seen.cycle} rounds, for ever"
    print(f"  after {seen.rounds} rounds: {end}")


show(simultaneous(clients, tariff))
show(damped(clients, tariff, weight=0.5))
show(sequential(clients, tariff, quantum=0.001))

found = nash(clients, tariff, quantum=0.001)
print(f"nash: {found.total:.3f} cores at {found.price:.3f}, largest regret {found.max_regret:g}")
bids = kelly(clients, capacity=tariff.capacity)
print(
    f"kelly: {(bids.bids > 0).sum()} clients bid, price {bids.price:.3f}, "
    f"largest regret {bids.max_regret:.3f}: no equilibrium of bids exists here"
)
