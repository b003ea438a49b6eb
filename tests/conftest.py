import copy
import dataclasses

import hypothesis
import pytest
import torch
from torch.overrides import TorchFunctionMode

torch.set_num_threads(1)
# The same examples each time: a suite that fails now and then is not believed.
hypothesis.settings.register_profile("deterministic", derandomize=True)
hypothesis.settings.load_profile("deterministic")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """No test finds decoded scenes in the user's cache, or leaves any there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISP_GYM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class OneDevice(TorchFunctionMode):
    """Refuses what an accelerator refuses: an operation on tensors of two devices. Many meta kernels do not look."""

    # The last is asked by nn.Module.to, of a parameter and of what it became.
    moves = (torch.Tensor.to, torch.Tensor.copy_, torch._has_compatible_shallow_copy_type)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        devices = set()
        for value in (*args, *(kwargs or {}).values()):
            for tensor in value if isinstance(value, (list, tuple)) else (value,):
                # Anything may be combined with a single number on the CPU.
                if isinstance(tensor, torch.Tensor) and (tensor.device.type != "cpu" or tensor.ndim):
                    devices.add(tensor.device.type)
        if len(devices) > 1 and function not in self.moves:
            raise RuntimeError(f"{function.__name__} of tensors on {' and '.join(sorted(devices))}")
        return function(*args, **(kwargs or {}))


class Device:
    """Where a test that reads no values runs: it makes inputs there, and finds whether results lie there."""

    def __init__(self, name):
        self.name = name

    def rand(self, *shape, grad=False):
        """Random numbers in [0, 1)."""
        return torch.rand(*shape, device=self.name, requires_grad=grad)

    def to(self, value):
        """A copy with every tensor on the device, of tensors, modules, dataclasses, lists and tuples of them."""
        if isinstance(value, torch.Tensor):
            return value.to(self.name)
        if isinstance(value, torch.nn.Module):
            return copy.deepcopy(value).to(self.name)
        if dataclasses.is_dataclass(value):
            return type(value)(*(self.to(getattr(value, field.name)) for field in dataclasses.fields(value)))
        return type(value)(map(self.to, value)) if type(value) in (list, tuple) else value

    def has(self, *values):
        """Whether all of them are tensors on the device."""
        return all(isinstance(value, torch.Tensor) and value.device.type == self.name for value in values)


@pytest.fixture(params=["cpu", "meta", *["cuda"] * torch.cuda.is_available()])
def device(request):
    """The CPU; "meta", which finds misplaced tensors without an accelerator, but has no values to read; and CUDA."""
    if request.param != "meta":
        yield Device(request.param)
        return
    with OneDevice():
        yield Device("meta")
