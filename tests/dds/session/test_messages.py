"""A message that exists is well formed."""

import math
from fractions import Fraction
from typing import Any

import pytest

from dds.errors import InvalidInput
from dds.market.tariff import Barrier, Clearing, Flat
from dds.session.messages import (
    Accept,
    Allocation,
    Below,
    Bid,
    Code,
    Holding,
    Join,
    Post,
    Quotation,
    ReferenceCore,
    Refusal,
    Renew,
    Terms,
    Welcome,
)
from dds.session.upload import ModelHeader

CORE: dict[str, Any] = {"name": "core", "flops_per_s": 1e9, "bytes_per_s": 1e9, "overhead": 0.0}
ALLOCATION: dict[str, Any] = {
    "lease": "l", "epoch": 1, "share": 1.0, "price": 1.0, "total": 2.0, "others": 1.0,
    "payment": 1.0, "rounds": 5,
}  # fmt: skip
SOLD = Terms(Clearing(2.0), 2.0, ReferenceCore(**CORE))

BAD: dict[str, tuple[type, dict[str, Any]]] = {
    "join.name": (Join, {"name": "", "nonce": "n"}),
    "join.name: need": (Join, {"name": "a\tb", "nonce": "n"}),
    "join.nonce": (Join, {"name": "a", "nonce": "n" * 129}),
    "join.version": (Join, {"name": "a", "nonce": "n", "version": -1}),
    "bid.epoch": (Bid, {"lease": "l", "epoch": -1, "round": 1, "share": 1.0}),
    "bid.round": (Bid, {"lease": "l", "epoch": 1, "round": 2**64, "share": 1.0}),
    "bid.share": (Bid, {"lease": "l", "epoch": 1, "round": 1, "share": math.nan}),
    "accept.lease": (Accept, {"lease": "", "epoch": 1}),
    "renew.revision": (Renew, {"lease": "l", "revision": -1}),
    "core.name": (ReferenceCore, {**CORE, "name": ""}),
    "core.flops_per_s": (ReferenceCore, {**CORE, "flops_per_s": 0.0}),
    "core.bytes_per_s": (ReferenceCore, {**CORE, "bytes_per_s": math.inf}),
    "core.overhead": (ReferenceCore, {**CORE, "overhead": -1e-9}),
    "core.slowdown": (ReferenceCore, {**CORE, "slowdown": 0.0}),
    "terms.capacity": (Terms, {"tariff": Clearing(2.0), "capacity": math.inf, "core": None}),
    "terms.tariff": (Terms, {"tariff": Flat(1.0), "capacity": 2.0, "core": None}),
    "terms.quantum": (
        Terms,
        {"tariff": Barrier(1.0, 2.0), "capacity": 2.0, "core": None, "quantum": Fraction(0)},
    ),
    "welcome.lease_time": (
        Welcome,
        {"nonce": "n", "lease": "l", "lease_time": 0.0, "terms": SOLD},
    ),
    "post.quote.load": (Quotation, {"load": math.nan, "price": 1.0, "slope": 0.0}),
    "post.quote.price": (Quotation, {"load": 1.0, "price": -1.0, "slope": 0.0}),
    "post.quote.slope": (Quotation, {"load": 1.0, "price": 1.0, "slope": math.inf}),
    "post.quote.at_least": (
        Quotation,
        {"load": 1.0, "price": 1.0, "slope": 0.0, "at_least": math.inf},
    ),
    "post.probe.share": (Holding, {"others": 0.0, "share": -1.0}),
    "post.round": (
        Post,
        {"lease": "l", "epoch": 1, "round": -1, "question": Holding(0.0, 0.0)},
    ),
    "allocation.below.share": (Below, {"price": 1.0, "share": math.nan}),
    **{
        f"allocation.{name}": (Allocation, {**ALLOCATION, name: math.inf})
        for name in ("share", "price", "total", "others", "payment")
    },
    "refusal.message": (Refusal, {"code": Code.CLOSING, "message": "two\nlines"}),
    "model.digest": (ModelHeader, {"lease": "l", "digest": "0" * 63 + "G", "size": 1}),
    "model.size": (ModelHeader, {"lease": "l", "digest": "0" * 64, "size": 0}),
}


@pytest.mark.parametrize("place", BAD)
def test_what_is_malformed_cannot_be_made(place: str) -> None:
    kind, fields = BAD[place]
    with pytest.raises(InvalidInput) as caught:
        kind(**fields)
    assert str(caught.value).startswith(place)
    assert "\n" not in str(caught.value)


def test_an_unbounded_quotation_is_well_formed() -> None:
    assert Quotation(math.inf, 0.0, 0.0).at_most == math.inf
