"""The real indexes that `make live` asks: a page of each, and the settings that docs/indexes.md gives for it.

What the documentation tells people to write is what is tried.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

_DOCUMENT = Path(__file__).parents[2] / "docs" / "indexes.md"
_BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# By index, the path on the cache of a page that is small where there is a choice.
PAGES = {
    "PyPI": "pypi/simple/six/",
    "PyTorch, CPU": "pytorch/whl/cpu/torchaudio/",
    "PyTorch, CUDA": "pytorch/whl/cu126/torchaudio/",
    "PyTorch, ROCm": "pytorch/whl/rocm6.4/torchaudio/",
    "PyTorch, XPU": "pytorch/whl/xpu/torchaudio/",
    "PyTorch, nightly": "pytorch/whl/nightly/cpu/torchaudio/",
    "PyTorch, a dependency": "pytorch/whl/cu126/filelock/",
    "PyTorch, flat": "pytorch/whl/torch_stable.html",
    "NVIDIA": "nvidia/nvidia-cuda-runtime-cu12/",
    "Astral": "astral/simple/cu128/flash-attn/",
    "AMD, listing": "radeon/rocm/manylinux/rocm-rel-7.2/",
    "AMD, index": "amd/whl-multi-arch/torch/",
    "Intel": "intel/release-whl/stable/xpu/us/oneccl-bind-pt/",
    "AWS Neuron": "neuron/neuronx-cc/",
    "Jetson": "jetson/jp6/cu126/+simple/torch/",
    "PyG": "pyg/whl/torch-2.8.0+cu126.html",
    "flashinfer": "flashinfer/whl/cu129/flashinfer-jit-cache/",
    "vLLM": "vllm/nightly/vllm/",
    "jax": "jax/jax_cuda_releases.html",
    "Anaconda": "anaconda/scientific-python-nightly-wheels/simple/numpy/",
    "piwheels": "piwheels/simple/six/",
}


def documented(table: str) -> list[dict[str, Any]]:
    """All tables of this name in the documentation's TOML, in its order: `upstream` or `group`."""
    blocks = _BLOCK.findall(_DOCUMENT.read_text("utf-8"))
    return [entry for block in blocks for entry in tomllib.loads(block).get(table, [])]
