"""Describes the machine and software a result was measured on."""

import os
import platform
import resource
import socket
import sys
from importlib import metadata
from pathlib import Path

from core import cpu
from core.schemas.environment import Environment

DISTRIBUTIONS = (
    "bakeoff", "numpy", "pillow", "grpcio", "protobuf", "keras", "tensorflow", "tensorflow-cpu", "tf2onnx", "torch",
    "torchvision", "fastai", "safetensors", "onnx", "onnxruntime", "onnxruntime-gpu", "onnxscript", "scikit-learn",
    "datasets", "locust", "openvino", "uvloop", "pyvoy", "hdrhistogram",
)  # fmt: skip

SPEED_VARIABLES = (
    "CUDA_", "CUDNN_", "DNNL_", "GLIBC_TUNABLES", "GOMP_", "KMP_", "LD_PRELOAD", "MALLOC_", "MKL_", "NVIDIA_TF32_",
    "OMP_", "ONEDNN_", "OPENBLAS_", "PYTORCH_", "TF_CPU_", "TF_ENABLE_", "TF_FORCE_GPU_", "TF_GPU_", "TF_NUM_",
    "TF_XLA_FLAGS", "TORCH_CUDNN_", "XLA_FLAGS",
)  # fmt: skip
"""How the names of environment variables begin from which libraries take threads, kernels and allocation."""
OF_LIBRARIES = ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
"""Those that scikit-learn sets by itself wherever it is imported."""


def versions(names: tuple[str, ...] = DISTRIBUTIONS) -> dict[str, str]:
    """Installed versions of the named distributions; absent ones are left out."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe(threads: int, contended: bool = False, device: str = "cpu") -> Environment:
    """The environment of this process, now."""
    return Environment(
        host=socket.gethostname(),
        boot_id=_boot_id(),
        platform=platform.platform(),
        cpu_model=_cpu_model(),
        cpu_quota=cpu.quota(),
        memory_bytes=_memory_bytes(),
        python=platform.python_version(),
        versions=versions(),
        threads=threads,
        device=device,
        variables=_speed_variables(),
        load_average=os.getloadavg()[0],
        contended=contended,
    )


def _speed_variables() -> dict[str, str]:
    names = (name for name in sorted(os.environ) if name.startswith(SPEED_VARIABLES) and name not in OF_LIBRARIES)
    return {name: os.environ[name] for name in names}


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far.

    Linux keeps `ru_maxrss` across exec, so a child would start with its parent's figure; VmHWM is the process's own.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _memory_bytes() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = (cpu.CGROUP / "memory.max").read_text().strip()
    except OSError:
        return physical
    return physical if limit == "max" else min(physical, int(limit))
