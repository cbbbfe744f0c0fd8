"""Who uses a helper: clients by lease, and when each was last heard of.  No clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dds.session.helping import Tenancy
from dds.session.refusals import Busy, LeaseRefused

__all__ = ["Tenants"]


@dataclass
class _Tenant:
    name: str
    heard: float
    #: Calls under way: whoever waits for one is there.
    calls: int = 0


class Tenants:
    """Clients of a helper.

    most: clients at a time; lease_time: seconds of silence that end a lease; leases: makes one
    that nobody guesses.  `now` is in seconds on any monotone clock.
    """

    def __init__(self, most: int, lease_time: float, leases: Callable[[], str]) -> None:
        self._most = most
        self._lease_time = lease_time
        self._leases = leases
        self._tenants: dict[str, _Tenant] = {}

    def __len__(self) -> int:
        return len(self._tenants)

    def join(self, name: str, now: float) -> Tenancy:
        """A lease for another client; raises Busy when there are as many as may be."""
        if len(self._tenants) >= self._most:
            raise Busy(
                f"this helper has {len(self._tenants)} clients; try again later, or ask another",
                retry_after=self._lease_time,
            )
        lease = self._leases()
        self._tenants[lease] = _Tenant(name, now)
        return Tenancy(lease, self._lease_time)

    def heard(self, lease: str, now: float) -> None:
        """A call came; raises LeaseRefused like :meth:`check`."""
        self.check(lease)
        self._tenants[lease].heard = now

    def check(self, lease: str) -> None:
        """Raises LeaseRefused when the lease is unknown, or over."""
        if lease not in self._tenants:
            raise LeaseRefused(f"no lease {lease[:40]!r} (it may have run out); join first")

    def began(self, lease: str, now: float) -> None:
        """A call that takes time came: until it has ended, the client is there."""
        self.heard(lease, now)
        self._tenants[lease].calls += 1

    def ended(self, lease: str, now: float) -> None:
        """Such a call is over; the lease may be, too."""
        if tenant := self._tenants.get(lease):
            tenant.calls -= 1
            tenant.heard = now

    def leave(self, lease: str) -> None:
        """The client has gone, or is given up."""
        self._tenants.pop(lease, None)

    def silent(self, now: float) -> tuple[str, ...]:
        """The leases that are over."""
        return tuple(
            lease
            for lease, tenant in self._tenants.items()
            if not tenant.calls and now >= tenant.heard + self._lease_time
        )
