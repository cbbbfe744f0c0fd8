"""Three clients share one core: who offloads, at what price, and a proof of it."""

from dds import Barrier, Clearing, Client, Frontier, nash
from proofs.check import check
from proofs.document import parse

camera = Frontier.from_points([(0.05, 0.40), (0.20, 0.10), (0.90, 0.0)])
phone = Frontier.from_points([(0.10, 0.12), (0.80, 0.0)])
robot = Frontier.from_points([(0.30, 0.20), (0.35, 0.0)])
clients = [
    Client(camera, value_of_time=2.0, name="camera"),
    Client(phone, value_of_time=1.0, name="phone"),
    Client(robot, value_of_time=1.0, name="robot"),
]

for tariff in (Clearing(capacity=1.0), Barrier(base_price=0.1, capacity=1.0)):
    found = nash(clients, tariff, quantum=0.001)
    print(f"{tariff}: price {found.price:.4f}, {found.total:.3f} cores sold")
    for name, share, piece, latency in zip(
        found.clients, found.shares, found.pieces, found.latencies, strict=True
    ):
        print(f"  {name:6s} piece {piece}, {share:.3f} cores, {latency:.3f} s")
    certificate = found.certificate.to_json().encode()
    print(f"  {check(parse(certificate)).summary()}")
