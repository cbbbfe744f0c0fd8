"""Cut a model in two, run both halves in onnxruntime, and compare with the whole."""

import numpy as np
import onnxruntime as ort

from dds import DEVICES, Link, frontier, load_model
from dds.model import zoo
from dds.model.split import split


def run(model: bytes, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of an ONNX model by name."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


model = zoo.build("squeezenet", seed=0)
graph = load_model(model)
link = Link(uplink=18.88e6 / 8, downlink=50e6 / 8, rtt=0.008)
best = frontier(graph, DEVICES["raspberry-pi-3b"], DEVICES["cloud-gpu"], link)
cut = next(
    piece.cut for piece in best.pieces if 0 < len(piece.cut.on_device) < len(graph.operators)
)
halves = split(model, graph, cut)
print(f"{len(cut.on_device)} operators on the device, {cut.uplink_bytes} bytes go up")

image = {"data_0": np.random.default_rng(0).random((1, 3, 224, 224), dtype=np.float32)}
on_device = run(halves.device, halves.device_feeds(image))
on_server = run(halves.server, halves.server_feeds(image, on_device))
answer = halves.join(image, on_device, on_server)
whole = run(model, image)
same = all(np.allclose(answer[name], whole[name], rtol=1e-4, atol=1e-5) for name in whole)
print(f"outputs equal the whole model's: {same}")
