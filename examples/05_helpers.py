"""A stereo camera whose neighbour helps: at the same price it waits less and buys no more cores."""

from dds import Client, Flat, Link, Worker, WorkerLinks, competitive, parallel_frontier
from dds.model import ModelGraph, Operator, Tensor

sizes = {"left": 500, "right": 500, "a": 60, "b": 60, "matched": 40, "answer": 1}
tensors = tuple(Tensor(name, (), "uint8", kb * 1000) for name, kb in sizes.items())
stereo = ModelGraph(
    operators=(
        Operator("features left", "Conv", inputs=(0,), outputs=(2,)),
        Operator("features right", "Conv", inputs=(1,), outputs=(3,)),
        Operator("match", "Conv", inputs=(2, 3), outputs=(4,)),
        Operator("decide", "Gemm", inputs=(4,), outputs=(5,)),
    ),
    tensors=tensors,
    inputs=(0, 1),
    outputs=(5,),
)
seconds = [1.0, 0.9, 1.5, 1.5]  # on the camera; its neighbour is twice as fast
core = [0.1, 0.09, 0.15, 0.15]  # on a core of the server
camera, neighbour = Worker(seconds), Worker([each / 2.0 for each in seconds])
wire = WorkerLinks(bandwidth=12.5e6, message=1e-3)  # 100 Mbit/s between the two
link = Link(uplink=250e3, downlink=1e6, rtt=0.02)

found = parallel_frontier(stereo, [camera, neighbour], wire, core, link)
for who, frontier in (("alone", found.alone), ("helped", found.frontier)):
    print(f"{who}:")
    for piece in frontier.pieces:
        print(
            f"  {len(piece.cut.on_device)} operators on the device: latency "
            f"{piece.base_latency:.3f} s + {piece.server_work:.2f} core s / share"
        )
for price in (0.1, 0.4, 1.6):
    for who, frontier in (("alone", found.alone), ("helped", found.frontier)):
        sold = competitive([Client(frontier, value_of_time=1.0)], Flat(price, capacity=10.0))
        print(
            f"at {price} credits/s per core, {who}: buys {sold.shares[0]:.2f} cores, "
            f"waits {sold.latencies[0]:.2f} s"
        )

local = found.plans[-1]
print("everything here:")
for task in local.schedule.tasks:
    (v,) = task.tile.operators
    where = ("camera", "neighbour")[task.worker]
    print(f"  {task.start:.3f}-{task.end:.3f} s {where}: {local.part.operators[v].name}")
