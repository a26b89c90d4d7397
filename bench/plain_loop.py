"""A folder of pictures as a tutorial classifies it: one by one, eager, full decode, to a CSV.

Run by `bench/growth.py`: `python -m bench.plain_loop FOLDER OUTPUT`, with RESNET18_WEIGHTS in the environment.
"""

import csv
import sys
from pathlib import Path

import torch
from PIL import Image

from app.vision.labels import imagenet_labels
from bench.reference import load, weights_here

if __name__ == "__main__":
    network, transform = load(weights_here())
    labels = imagenet_labels()
    with Path(sys.argv[2]).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        for path in sorted(Path(sys.argv[1]).iterdir()):
            with torch.no_grad():
                logits = network(transform(Image.open(path).convert("RGB")).unsqueeze(0))
            confidence, index = torch.softmax(logits[0], dim=0).max(dim=0)
            table.writerow([path, labels[int(index)].label, float(confidence)])
