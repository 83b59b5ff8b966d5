"""An M-CNN made ready for inference: weights once in the fast number format, convolution and ReLU in one pass.

On a CPU with bfloat16 instructions the pass over the full-resolution activations costs about as much for a ReLU as
for half a convolution, so oneDNN's convolution with a ReLU behind it is called where torch has it (it is the operator
that torch.compile emits; compiling the whole took 34 s and was not faster). Elsewhere the same numbers come from the
plain layers. On a GPU cuDNN gets channels_last bfloat16.
"""

from typing import Any

import torch
import torch.nn.functional as F

from nextplate.imaging.networks.mcnn import Branch, Mcnn, make_mcnn, pooled


class FastMcnn:
    """A copy of a network that only infers; the original may go on training."""

    def __init__(self, network: Mcnn, device: str = "cpu", precision: str = "auto") -> None:
        self.dtype = torch_dtype(precision, device)
        self.device = device
        self._network = _copy(network).to(device=device, dtype=self.dtype, memory_format=torch.channels_last).eval()
        has_format = device == "cpu" and self.dtype == torch.bfloat16 and has_bfloat16(device)
        self._has_fused = has_format and has_fused_convolution()

    @property
    def n_embedding(self) -> int:
        """Return the number of embedding values per field."""
        return int(self._network.shape.n_embedding)

    def __call__(self, pixels: Any) -> tuple[Any, Any]:
        """Map scaled pixels (batch, channels, height, width) to float32 outputs and embeddings on the CPU."""
        with torch.inference_mode():
            x = pixels.to(device=self.device, dtype=self.dtype, memory_format=torch.channels_last)
            outputs, embedding = self._fused(x) if self._has_fused else self._network(x)
            return outputs.float().cpu(), embedding.float().cpu()

    def _fused(self, x: Any) -> tuple[Any, Any]:
        network = self._network
        found = []
        for i, branch in enumerate(network.branches):
            x = pooled(x, 2) if i or not network.shape.has_full_resolution else x
            found.append(_fused_branch(branch, x))
        mixed = convolve_relu(torch.cat(found, dim=1), network.mix)
        embedding = F.relu(network.hidden(network.summary(mixed)))
        return network.output(embedding), embedding


def torch_dtype(precision: str, device: str) -> Any:
    """Choose the number format: 'float32', 'bfloat16', or 'auto', bfloat16 where the hardware multiplies it."""
    if precision == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def has_bfloat16(device: str) -> bool:
    """Say whether bfloat16 is faster than float32 there; on a CPU only with AVX512-BF16 or AMX."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in probes)


def has_fused_convolution() -> bool:
    """Say whether this torch has oneDNN's convolution with an operation behind it."""
    return bool(torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise"))


def convolve_relu(x: Any, layer: Any) -> Any:
    """Convolve and take the ReLU in one pass over memory."""
    return torch.ops.mkldnn._convolution_pointwise(
        x, layer.weight, layer.bias, layer.padding, layer.stride, layer.dilation, layer.groups, "relu", [], ""
    )


def _fused_branch(branch: Branch, x: Any) -> Any:
    for layer in branch.convolutions:
        x = convolve_relu(x, layer)
    return pooled(x, branch.pool_px)


def _copy(network: Mcnn) -> Mcnn:
    copy = make_mcnn(network.shape, 0)
    copy.load_state_dict(network.state_dict())
    return copy
