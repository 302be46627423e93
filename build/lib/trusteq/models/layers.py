"""Linear layers in a smaller form: 8-bit weights, and a product of two thin matrices."""

import torch

from trusteq.errors import ModelError

LARGEST = 127
EXACT = 1024  # so many products of two 8-bit numbers add up to less than 2**24, all whole numbers of single precision


class Int8Linear(torch.nn.Module):
    """A linear layer with weights in 8 bits, one scale an output, that brings its inputs to 8 bits, one scale a row.

    With a scale for each row the answer for a text does not depend on the texts beside it, which one scale for a whole
    batch, as in torch's own dynamic quantisation, would not give. Where a gradient is asked for, and on a GPU, the same
    weights are multiplied in single precision.
    """

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.register_buffer("weight", weight)  # int8, (out, in)
        self.register_buffer("scale", scale)  # (out,)
        self.register_buffer("bias", bias)  # (out,), or None

    @classmethod
    def of(cls, layer: torch.nn.Linear) -> "Int8Linear":
        """Return the layer with its weights rounded to 8 bits."""
        weight = layer.weight.detach()
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / LARGEST
        bias = None if layer.bias is None else layer.bias.detach().clone()
        return cls(torch.round(weight / scale[:, None]).to(torch.int8), scale, bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return (..., out) from (..., in)."""
        if states.is_cuda or (torch.is_grad_enabled() and states.requires_grad):
            return torch.nn.functional.linear(states, self.weight * self.scale[:, None], self.bias)
        scale = states.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / LARGEST
        rounded = torch.round(states / scale).to(torch.int8)
        products = whole_products(rounded.flatten(0, -2), self.weight).unflatten(0, states.shape[:-1])
        found = products * scale * self.scale
        return found if self.bias is None else found + self.bias


def whole_products(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return rows @ weight.T, exactly, as int32 (n, out). rows: int8 (n, in); weight: int8 (out, in).

    Where the CPU has no instructions for 8 bits, torch's own product of whole numbers is twenty times slower than one
    in single precision, which is exact as long as it adds few enough.
    """
    if torch.cpu._is_vnni_supported():
        return torch._int_mm(rows, weight.T)
    parts = zip(rows.split(EXACT, dim=1), weight.split(EXACT, dim=1), strict=True)
    return sum(torch.nn.functional.linear(a.float(), b.float()).to(torch.int32) for a, b in parts)


def factorised(layer: torch.nn.Linear, keep: float) -> torch.nn.Sequential:
    """Return two linear layers in a row, with `keep` of the layer's weights, that come nearest to it.

    Raises ModelError where so few weights leave no rank.
    """
    n_out, n_in = layer.weight.shape
    rank = int(keep * n_out * n_in / (n_out + n_in))
    if rank < 1:
        raise ModelError(f"low-rank: keep={keep:g} of {n_out} x {n_in} weights leaves rank 0; keep more")
    left, singular, right = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
    root = singular[:rank].sqrt()
    # The copy on "meta" has the shapes without the cost of a random start.
    thin = [torch.nn.Linear(n_in, rank, bias=False, device="meta"), torch.nn.Linear(rank, n_out, device="meta")]
    thin[0].weight = torch.nn.Parameter((root[:, None] * right[:rank]).contiguous())
    thin[1].weight = torch.nn.Parameter((left[:, :rank] * root).contiguous())
    thin[1].bias = torch.nn.Parameter(layer.bias.detach().clone())
    return torch.nn.Sequential(*thin)
