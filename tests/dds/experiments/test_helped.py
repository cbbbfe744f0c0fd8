"""A market whose clients have helpers: one price for both, and the price that clears each."""

import json
import math
from dataclasses import replace

import pytest

from dds import Clearing, Client, InvalidInput, competitive, frontier
from dds.costs.device import DEVICES
from dds.experiments import helped
from dds.experiments.helped import HelpedMarket, Server, play
from dds.experiments.parallel import NETWORKS as WIRES
from dds.experiments.parallel import Setting
from dds.experiments.three_tier import NETWORKS
from dds.model.importer import load_model
from dds.model.zoo import build
from dds.parallel.normalise import normalise

MODELS = ("squeezenet", "zfnet512")
SETTING = Setting(models=MODELS, helpers=((1.0,),), networks={"wired": WIRES["wired"]})
SERVER = Server(capacity=6.0, clients=10)
LINK = "WiFi", NETWORKS["WiFi"]


@pytest.fixture(scope="module")
def market() -> HelpedMarket:
    told = []
    (found,) = play(SETTING, LINK, SERVER, lambda *counts: told.append(counts))
    assert told == [(1, 2), (2, 2)]
    return found


def test_the_price_without_helpers_is_that_of_plain_frontiers(market) -> None:
    clients = []
    for name in MODELS:
        graph = load_model(normalise(build(name)))
        offer = frontier(graph, SETTING.device, DEVICES["edge-core"], LINK[1])
        clients += [Client(offer, 1.0, max_share=4.0, name=f"{name}-{k}") for k in range(10)]
    sold = competitive(clients, Clearing(6.0))
    assert math.isclose(market.price, sold.price, rel_tol=1e-9)
    assert math.isclose(market.sold, sold.total, rel_tol=1e-9)
    assert market.price > 0.0


def test_at_one_price_nobody_pays_more_with_helpers_and_answers_are_best(market) -> None:
    for row in market.rows:
        assert row.helped.cost <= row.alone.cost * (1.0 + 1e-9)
        for bought, offer in ((row.alone, row.offer.alone), (row.helped, row.offer.frontier)):
            assert math.isclose(bought.cost, bought.latency + market.price * bought.share)
            for share in (0.01 * k for k in range(401)):
                cost = offer.latency(share) + market.price * share
                assert bought.cost <= cost * (1.0 + 1e-9)
    assert market.helped_price <= market.price


def test_helpers_are_counted_and_shown(market) -> None:
    said = helped.lines(market)
    less = sum(row.helped.share < 0.999 * row.alone.share for row in market.rows)
    assert less > 0
    assert f"{less} buy less, 0 more" in said[1]
    table = helped.rows(market)
    assert len({len(row) for row in table}) == 1
    assert [row[0] for row in table[1:]] == list(MODELS)
    assert f"of 2 models {less} buy" in said[1]
    one = helped.lines(replace(market, rows=market.rows[:1], sold=0.0, price=0.0, helped_price=0.0))
    assert one[0].endswith("alone, nobody wants any core, even at price 0")
    assert " of 1 model 0 buy less" in one[1]
    assert one[2].endswith(
        f"{market.helped_sold:.1f} cores are taken at price 0, nobody wants more"
    )
    alike = replace(market.rows[0], helped=market.rows[0].alone)
    assert helped.rows(replace(market, rows=(alike,)))[1][5] == "tie"


def test_the_document_is_json(market) -> None:
    found = json.loads(json.dumps(helped.document((market,), SERVER), allow_nan=False))
    assert found["format"] == "dds-helped/1"
    (shown,) = found["markets"]
    assert shown["price"] == market.price
    assert [row["model"] for row in shown["models"]] == list(MODELS)
    assert shown["models"][1]["helped"]["cost"] == market.rows[1].helped.cost


@pytest.mark.parametrize(
    ("change", "says"),
    [({"clients": 0}, "clients is 0"), ({"max_share": 0.0}, "max_share"),
     ({"max_share": 7.0}, "max_share"), ({"capacity": math.nan}, "max_share")],
)  # fmt: skip
def test_a_bad_server_is_named(change, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        replace(SERVER, **change)
