"""python example.py photo.jpg: what model.onnx says of a photo. It needs onnxruntime, numpy and Pillow."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

here = Path(__file__).parent
about = json.loads((here / "model.json").read_text(encoding="utf-8"))
how, crop = about["transform"], about["transform"]["crop"]
photo = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
width, height = (side * how["resize"] // min(photo.size) for side in photo.size)
left, top = round((width - crop) / 2), round((height - crop) / 2)
photo = photo.resize((width, height), Image.Resampling[how["interpolation"].upper()])
pixels = np.asarray(photo.crop((left, top, left + crop, top + crop)), np.float32) / 255
picture = ((pixels - how["mean"]) / how["std"]).astype(np.float32).transpose(2, 0, 1)[None]
session = onnxruntime.InferenceSession(here / about["file"])
probabilities = session.run(["probabilities"], {"picture": picture})[0][0]
print("known" if probabilities.max() >= about["threshold"] else "unknown: below the threshold")
for index in probabilities.argsort()[:-4:-1]:
    print(f"{probabilities[index]:.6f}", about["labels"][index]["label"], about["labels"][index]["label_zh"], sep="\t")
