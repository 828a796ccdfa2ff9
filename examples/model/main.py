"""A model server in small: says what is installed, and runs one step of a model made here. Nothing is downloaded."""

from __future__ import annotations

from importlib.metadata import version

import torch

model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
print({name: version(name) for name in ("torch", "openvino", "transformers")})
print(model(torch.ones(1, 4)).shape)
