"""Where a model should be cut, and how the answer depends on the server share.

A Raspberry Pi 4 behind WiFi runs VGG-19 with the help of an edge server.
"""

from dds import DEVICES, Link, frontier, load_model
from dds.model import zoo

MBIT = 1e6 / 8

graph = load_model(zoo.topology("vgg19"))
link = Link(uplink=18.88 * MBIT, downlink=50 * MBIT, rtt=0.008)
best = frontier(graph, DEVICES["raspberry-pi-4"], DEVICES["edge-core"], link)

print(f"{len(graph.operators)} operators, {len(best.pieces)} cuts worth having:")
for piece in best.pieces:
    cut = piece.cut
    print(
        f"  {len(cut.on_device):2d} operators on the device, {cut.crossing_bytes:6d} bytes cross: "
        f"latency {piece.base_latency:.3f} s + {piece.server_work:.3f} core s / share"
    )
for share in (0.25, 1.0, 4.0):
    print(f"with {share:4.2f} cores the best latency is {best.latency(share):.3f} s")
