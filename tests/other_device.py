"""A second device that needs no hardware: what mixes tensors of two devices fails here as it would on a GPU.

Tensors on it hold their values in memory of the CPU, but report the device `ELSEWHERE`; they cannot become arrays
of NumPy, and operations refuse to combine them with tensors of the CPU where CUDA would.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")
"""The only name that PyTorch gives to every build; nothing of what it otherwise stands for is used."""

CROSSING = (
    "_to_copy",
    "copy_",
    "index",
    "index_put",
    "index_put_",
    "_index_put_impl_",
    "_local_scalar_dense",
)
"""Operations that take tensors of two devices: copies, and indices that lie on the CPU."""


class DeviceMixError(RuntimeError):
    """Tensors of two devices met in one operation."""


class _Remote(torch.Tensor):
    """A tensor elsewhere."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "_Remote":
        held = held.resolve_conj().resolve_neg()  # the outer tensor could not tell of a pending conjugation
        strided = held.layout == torch.strided
        place = {"strides": held.stride(), "storage_offset": held.storage_offset()} if strided else {}
        remote = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, dtype=held.dtype, device=ELSEWHERE, requires_grad=held.requires_grad, **place
        )
        remote.held = held
        return remote

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise DeviceMixError("a tensor elsewhere cannot become an array; move it with .cpu() first")

    __array__ = numpy
    is_meta = False
    __torch_function__ = torch._C._disabled_torch_function_impl


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [v for v in tree_flatten((args, kwargs))[0] if isinstance(v, torch.Tensor)]
    remote = [v for v in tensors if isinstance(v, _Remote)]
    name = func.overloadpacket.__name__
    local = [v for v in tensors if not isinstance(v, _Remote) and v.ndim > 0]
    if remote and local and name not in CROSSING:
        raise DeviceMixError(
            f"{name} met tensors of two devices: {[tuple(v.shape) for v in local]} on the CPU"
        )
    target = kwargs.get("device")
    goes = bool(remote) if target is None else torch.device(target) == ELSEWHERE
    if name == "copy_":
        goes = isinstance(args[0], _Remote)
    plain = tree_map(lambda v: v.held if isinstance(v, _Remote) else v, (args, kwargs))
    if "device" in kwargs and kwargs["device"] is not None:
        plain[1]["device"] = torch.device("cpu")
    result = func(*plain[0], **plain[1])
    if name.endswith("_") and not name.startswith("_local"):  # in place: the same tensor comes back
        return args[0]
    return tree_map(lambda v: _Remote(v) if goes and isinstance(v, torch.Tensor) else v, result)


class _Routing(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def second_device() -> Iterator[torch.device]:
    """Within it, tensors can be made on and moved to the device that it yields."""
    with _Routing():
        yield ELSEWHERE
