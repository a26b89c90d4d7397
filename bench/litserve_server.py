"""LitServe serving the same ResNet-18 as its own guide does it: torchvision's transforms, batching on, eager.

A worker a core, each with a share of torch's threads: what its guide calls scaling, and the quickest here.
"""

import os
from typing import Any

import litserve
import torch
from fastapi import Request
from PIL import Image
from torch import Tensor

from app.config import available_cores
from bench.reference import answer, load, weights_here

MAX_BATCH = 8
BATCH_TIMEOUT_S = 0.005


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """The hooks that LitServe calls, in their order; a batch is what came within `BATCH_TIMEOUT_S`."""

    def setup(self, device: str) -> None:
        """Load the network in a worker; all workers together have as many threads as there are cores."""
        torch.set_num_threads(1)
        self.network, self.transform = load(weights_here())

    def decode_request(self, request: Request) -> Tensor:
        """One upload to a tensor. LitServe asks for this annotation, and hands over the request's form."""
        tensor: Tensor = self.transform(Image.open(request["file"].file).convert("RGB"))
        return tensor

    def batch(self, inputs: list[Tensor]) -> Tensor:
        """Several tensors to one."""
        return torch.stack(inputs)

    def predict(self, batch: Tensor) -> Tensor:
        """Probabilities."""
        with torch.inference_mode():
            return torch.softmax(self.network(batch), dim=1)

    def encode_response(self, output: Tensor) -> dict[str, Any]:
        """One row of the probabilities to an answer."""
        return answer(output)


if __name__ == "__main__":
    server = litserve.LitServer(
        Classifier(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S),
        accelerator="cpu",
        workers_per_device=available_cores(),
        healthcheck_path="/readyz",
    )
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
