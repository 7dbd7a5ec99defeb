"""Runs inside an image build: installs what the image needs into a virtual environment, reproducibly.

    python install.py lock EXTRA…    what extras of pyproject.toml need, into /locked: a stage of its own, so that other
                                     changes to pyproject.toml install nothing again
    python install.py dependencies   what was locked, into /opt/venv
    python install.py application    the project itself, without dependencies, into /opt/app
    python install.py tool NAME      a locked tool of the build's own, into /opt/tool
    python install.py skeleton       user 1000 and the folders it owns, into /skeleton

Wheels in /wheels (build context `wheels`) win over the index. The PyTorch CPU build comes from there, or from PyTorch's
own index of CPU wheels; DEVICE=cuda takes the CUDA builds instead. A pip.conf given as build secret `pip.conf` is used
and leaves no trace in a layer.
"""

import compileall
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

BUILD, WHEELS = Path("/build"), Path("/wheels")
LOCKED, SKELETON = Path("/locked"), Path("/skeleton")
VENV, APP, TOOL = Path("/opt/venv"), Path("/opt/app"), Path("/opt/tool")
UID = 1000
OWNED = ("data", "runs", "cache", "timed", "home/bakeoff")
"""Folders that volumes are mounted on; a new named volume takes over their owner. They are empty: an engine copies what
is in them for every container of its own, and containers that are created at once would be in each other's way."""
PIP_CONF = Path("/run/secrets/pip.conf")
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA = {"tensorflow-cpu": "tensorflow[and-cuda]", "onnxruntime": "onnxruntime-gpu[cuda,cudnn]"}
"""What the GPU variant of an image installs instead. PyTorch has one name for both."""
NOT_NEEDED = (
    *("**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.a"),
    *("tensorflow/include", "torch/include", "torch/test", "torch/bin/test_*", "torch/bin/*Test", "torch/bin/protoc*"),
    *("pyarrow/include", "onnxruntime/tools", "onnxruntime/capi/libonnxruntime.so.*"),
)
"""Below site-packages: test suites, headers, type stubs, build tools, and ONNX Runtime's library for C programs (its
Python module contains its own copy). Nothing imports them at run time."""
QUANTISING = ("__init__.py", "onnx_utils.py", "onnx_model.py", "fusion_utils.py", "float16.py")
"""What ONNX Runtime's quantisation imports of its 80 modules for transformers."""
AWS_KEPT = ("s3", "sts", "sso", "sso-oidc", "signin")
"""Services that reading and writing a bucket can need; botocore describes four hundred."""
CUDA_PARTS = re.compile(r"(nvidia[-_].+|triton|cuda[-_].+|onnxruntime[-_]gpu)-\d")


def main() -> None:
    """Reads the command line of a RUN instruction."""
    what, *names = sys.argv[1:]
    if what == "lock":
        target = lock(",".join(names).split(","), os.environ["DEVICE"])
    elif what == "dependencies":
        target = install_dependencies()
    elif what == "application":
        pip("--target", str(APP), "--no-deps", str(BUILD))
        shutil.rmtree(APP / "bin", ignore_errors=True)  # Its first line names the builder's Python.
        target = APP
    elif what == "tool":
        target = make_venv(TOOL)
        pip("--constraint", str(BUILD / "constraints.txt"), *names, python=TOOL / "bin/python")
    else:
        target = make_skeleton()
    make_reproducible(target, int(os.environ.get("SOURCE_DATE_EPOCH") or 0))


def make_skeleton() -> Path:
    """The user that everything runs as, and the folders it may write to where a volume is mounted on them."""
    for name, line in (("passwd", "bakeoff:x:{0}:{0}::/tmp:/usr/sbin/nologin\n"), ("group", "bakeoff:x:{0}:\n")):
        known = SKELETON / "etc" / name
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(Path("/etc", name).read_text() + line.format(UID))
    for name in OWNED:
        (SKELETON / name).mkdir(parents=True)
        for folder in (SKELETON / name, *(SKELETON / name).parents):
            if folder not in (SKELETON, *SKELETON.parents, SKELETON / "home"):
                os.chown(folder, UID, UID)
    return SKELETON


def make_venv(path: Path) -> Path:
    """An empty virtual environment, without pip: nothing is installed at run time."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    return path


def lock(extras: list[str], device: str) -> Path:
    """Writes what `extras` need, and the versions everything has."""
    if device not in ("cpu", "cuda"):
        raise SystemExit(f"DEVICE {device!r} is not known: expected cpu or cuda")
    wanted = sorted(set(requirements(extras)))
    pins = (BUILD / "constraints.txt").read_text()
    if device == "cuda":
        wanted, pins = swap_for_cuda(wanted, pins)
    LOCKED.mkdir()
    (LOCKED / "requirements.txt").write_text("\n".join(wanted) + "\n")
    (LOCKED / "constraints.txt").write_text(pins)
    (LOCKED / "device").write_text(device)
    return LOCKED


def install_dependencies() -> Path:
    """What was locked, in a virtual environment."""
    wanted, device = (LOCKED / "requirements.txt").read_text().splitlines(), (LOCKED / "device").read_text()
    make_venv(VENV)
    pip(
        "--constraint",
        str(LOCKED / "constraints.txt"),
        *torch_index(wanted, device),
        *wanted,
        python=VENV / "bin/python",
    )
    if device == "cpu" and (found := cuda_parts()):
        raise SystemExit(f"the CPU image would contain {', '.join(found)}; give a CPU wheel in the context `wheels`")
    if device == "cuda" and (cpu := [path.name for path in VENV.glob("lib/python*/site-packages/*+cpu.dist-info")]):
        raise SystemExit(f"the CUDA image would contain {', '.join(cpu)}; leave CPU wheels out of the context `wheels`")
    prune()
    return VENV


def prune() -> None:
    """Removes what only developers of the libraries need."""
    for site in VENV.glob("lib/python*/site-packages"):
        services = [path for path in site.glob("botocore/data/*") if path.is_dir() and path.name not in AWS_KEPT]
        transformers = [path for path in site.glob("onnxruntime/transformers/*") if path.name not in QUANTISING]
        for path in [*services, *transformers, *(found for pattern in NOT_NEEDED for found in site.glob(pattern))]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def requirements(extras: list[str]) -> Iterator[str]:
    """The project's dependencies and those of its extras; an extra may name others as bakeoff[…]."""
    project = tomllib.loads((BUILD / "pyproject.toml").read_text())["project"]
    yield from project["dependencies"]
    pending = list(extras)
    while pending:
        for requirement in project["optional-dependencies"][pending.pop()]:
            own = re.fullmatch(r"bakeoff\[(.+)\]", requirement)
            if own:
                pending += own[1].split(",")
            else:
                yield requirement


def swap_for_cuda(wanted: list[str], pins: str) -> tuple[list[str], str]:
    """The same libraries, at the same versions, in their CUDA builds."""
    for cpu, cuda in CUDA.items():
        wanted = [re.sub(rf"^{cpu}\b", cuda, requirement) for requirement in wanted]
        pins = re.sub(rf"(?m)^{cpu.replace('-', '[-_]')}==", f"{cuda.partition('[')[0]}==", pins)
    return wanted, pins


def torch_index(wanted: list[str], device: str) -> list[str]:
    """Where a CPU build of PyTorch comes from, when no wheel of it was given."""
    needed = any(requirement.startswith("torch") for requirement in wanted)
    given = any(WHEELS.glob("torch-*.whl"))
    return ["--extra-index-url", TORCH_CPU_INDEX] if needed and device == "cpu" and not given else []


def pip(*arguments: str, python: Path | None = None) -> None:
    """pip install, of wheels only: nothing a package brings along runs during the build."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if PIP_CONF.exists():
        environment["PIP_CONFIG_FILE"] = str(PIP_CONF)
    command = [sys.executable, "-m", "pip", *(["--python", str(python)] if python else []), "install"]
    command += ["--no-compile", "--quiet", "--find-links", str(WHEELS), "--only-binary", ":all:", *arguments]
    subprocess.run(command, check=True, env=environment)


def cuda_parts() -> list[str]:
    """Distributions that only a GPU needs."""
    return sorted(p.name for p in VENV.glob("lib/python*/site-packages/*.dist-info") if CUDA_PARTS.match(p.name))


def make_reproducible(root: Path, epoch: int) -> None:
    """Byte code that depends on the source alone, and one time for every file."""
    compileall.compile_dir(root, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    for path in (root, *root.rglob("*")):
        os.utime(path, (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    main()
