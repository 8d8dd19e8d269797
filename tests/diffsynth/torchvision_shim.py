"""Named as `shim` by tests' configurations: lets torchvision load where its compiled part fits no torch without a GPU.

The wheel of torchvision for a torch with CUDA cannot load its operators beside a torch without. The pipelines use none
of them, but importing it declares kernels for two. On a machine where it loads this does nothing.
"""

from __future__ import annotations

import sys

import torch

_kept: list[object] = []

try:
    import torchvision
except RuntimeError as exc:
    if "torchvision::nms" not in str(exc):
        raise
    library = torch.library.Library("torchvision", "DEF")
    _kept.append(library)
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[module]
    import torchvision  # noqa: F401
