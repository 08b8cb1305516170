"""Devices and kernels: what this machine can run models on, each tried on a small product and against the plain one."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..documents.diagnosis import Finding
from .packages import in_one_line

if TYPE_CHECKING:
    import torch

__all__ = ["check_devices", "check_kernels"]

_GIB = 2**30
_TOLERANCE = 0.05
"""Of entries of about 8, the sum of 64 products of standard normals; reduced precision stays below it."""


def check_devices() -> Iterator[Finding]:
    """Try a matrix product on every device of this machine."""
    import torch

    from ..engine.loading.models import choose_device

    chosen = choose_device("auto")
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    yield _tried("cpu", f"{platform.machine()}, {cores} cores, {threads} threads", needed=chosen == "cpu")
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        name = f"cuda:{index}"
        try:
            found = torch.cuda.get_device_properties(index)
            detail = (
                f"{found.name}, {found.total_memory / _GIB:.0f} GiB, compute capability {found.major}.{found.minor}"
            )
        except Exception as error:  # whatever a driver raises
            detail = in_one_line(error)
        yield _tried(name, detail, needed=chosen == "cuda" and index == 0)
    if not torch.cuda.is_available():
        yield _no_cuda()
    if torch.backends.mps.is_available():
        yield _tried("mps", "Apple GPU", needed=chosen == "mps")


def _tried(name: str, detail: str, *, needed: bool) -> Finding:
    """Multiply two small matrices on a device and in float64."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn((2, 64, 64), generator=generator)
    try:
        product = (left.to(name) @ right.to(name)).cpu().double()
        worst = float((product - left.double() @ right.double()).abs().max())
        problem = "" if worst <= _TOLERANCE else f"a matrix product is off by {worst:.2g}"
    except Exception as error:  # whatever a driver raises
        problem = in_one_line(error)
    return Finding(
        part="devices",
        name=name,
        state="broken" if problem else "fine",
        needed=needed,
        detail=f"{detail}; {problem}" if problem else detail + ("; taken by --device auto" if needed else ""),
        remedy="check the driver and the build of torch, or audit with --device cpu" if problem else None,
    )


def _no_cuda() -> Finding:
    """Say why there is no CUDA device."""
    import torch

    build = torch.version.cuda or torch.version.hip
    driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    detail = f"torch {torch.__version__} is built for {f'GPUs ({build}) and finds none' if build else 'CPUs only'}"
    if not driver:
        return Finding(part="devices", name="cuda", state="absent", needed=False, detail=detail)
    return Finding(
        part="devices",
        name="cuda",
        state="broken",
        needed=False,
        detail=f"{detail}, though this machine has an NVIDIA driver",
        remedy="check the driver with nvidia-smi" if build else "install PyTorch's build for CUDA to use the GPU",
    )


def check_kernels(*, compile_kernels: bool) -> Iterator[Finding]:
    """Build the kernels of the engine that this machine could use, and check each against the plain one.

    Parameters
    ----------
    compile_kernels : bool
        Also the one that torch.compile makes, which takes 10 s or more; else only a compiler is looked for.
    """
    import torch

    from ..engine.loading.models import choose_device

    device = torch.device(choose_device("auto"))
    yield Finding(part="kernels", name="plain", state="fine", needed=True, detail="always there; the self-test runs it")
    if device.type == "cuda":
        yield _built("triton", device)
    else:
        yield Finding(part="kernels", name="triton", state="absent", needed=False, detail="for CUDA devices only")
    if compile_kernels:
        yield _built("compiled", device)
        return
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++"))), None)
    yield Finding(
        part="kernels",
        name="compiled",
        state="fine" if compiler else "absent",
        needed=False,
        detail=f"compiler {compiler}; not tried, --compile does"
        if compiler
        else "no C++ compiler: large jobs run slower",
        remedy=None if compiler else "install g++ or clang++",
    )


def _built(name: str, device: "torch.device") -> Finding:
    """Ask for a kernel by name; the engine falls back to the plain one and says why."""
    from ..engine.kernels import choose_kernel

    kernel, reason = choose_kernel(device, n_rows=16, n_vocabulary=1000, asked=name)
    works = kernel.name == name
    return Finding(
        part="kernels",
        name=name,
        state="fine" if works else "broken",
        needed=False,
        detail="agrees with the plain one" if works else reason.partition("; ")[2] or reason,
        remedy=None if works else "audits run with the plain kernel, slower; a C or C++ compiler may be missing",
    )
