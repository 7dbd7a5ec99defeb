"""Builds the images, checks their sizes and writes an SBOM beside each: `python deploy/images.py build [IMAGE …]`.

Needs Python 3.11 and Docker with buildx, nothing else. The tag is made of the project's version and a hash of
all that the repository puts into the images. What exists under its tag is not built again, unless `--rebuild` says so:
the base image, wheels of your own and what an index of your own has are not in the hash. Whoever has the image keeps
what stands under that tag, so what is built again for others wants a name of its own: `--tag`.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SBOMS = ROOT / "dist" / "images"
INPUTS = ("pyproject.toml", "constraints.txt", "README.md", ".dockerignore", "deploy/docker", "deploy/images.py")
PACKAGES = ("core", "trainer", "evaluator", "services", "loadtests", "proto/gen")
EXPERIMENTS = "experiments"
"""Enter the images of the command alone; people put files of their own there."""
MB = 1_000_000


@dataclass(frozen=True)
class Image:
    """One image: which Dockerfile, with which arguments, and how large it may become."""

    file: str
    budget_mb: int
    """Largest size, uncompressed, of the CPU variant."""
    arguments: dict[str, str] = field(default_factory=dict)


IMAGES = {
    "trainer-keras": Image("trainer", 2100, {"FRAMEWORK": "keras"}),
    "trainer-tensorflow": Image("trainer", 2100, {"FRAMEWORK": "tensorflow"}),
    "trainer-pytorch": Image("trainer", 1400, {"FRAMEWORK": "pytorch"}),
    "trainer-fastai": Image("trainer", 2000, {"FRAMEWORK": "fastai"}),
    "evaluator": Image("evaluator", 700),
    "serving-onnx": Image("serving", 330, {"RUNTIME": "onnxruntime", "EXTRA": "serving"}),
    "serving-openvino": Image("serving", 520, {"RUNTIME": "openvino", "EXTRA": "serving-openvino"}),
    "serving-tensorflow": Image("serving", 2100, {"RUNTIME": "tensorflow", "EXTRA": "serving-tensorflow"}),
    "serving-pytorch": Image("serving", 1400, {"RUNTIME": "pytorch", "EXTRA": "serving-pytorch"}),
    "serving-onnx-envoy": Image("serving", 430, {"RUNTIME": "onnxruntime", "EXTRA": "serving,envoy"}),
    "serving-openvino-envoy": Image("serving", 620, {"RUNTIME": "openvino", "EXTRA": "serving-openvino,envoy"}),
    "serving-onnx-s3": Image("serving", 380, {"RUNTIME": "onnxruntime", "EXTRA": "serving,s3"}),
    "serving-onnx-envoy-s3": Image("serving", 480, {"RUNTIME": "onnxruntime", "EXTRA": "serving,envoy,s3"}),
    "serving-openvino-s3": Image("serving", 570, {"RUNTIME": "openvino", "EXTRA": "serving-openvino,s3"}),
    "serving-tensorflow-s3": Image("serving", 2150, {"RUNTIME": "tensorflow", "EXTRA": "serving-tensorflow,s3"}),
    "serving-pytorch-s3": Image("serving", 1450, {"RUNTIME": "pytorch", "EXTRA": "serving-pytorch,s3"}),
    "loadtest": Image("loadtest", 500),
    "cli": Image("cli", 500, {"EXTRA": "cli"}),
    "cli-tracking": Image("cli", 1200, {"EXTRA": "cli,tracking"}),
    "tracking": Image("tracking", 1200),
}
IN_A_BUCKET = tuple(name for name in IMAGES if name.endswith("-s3"))
"""Servers that read their models from S3, whose client is some 50 MB."""
VARIANTS = ("serving-onnx-envoy", "serving-openvino-envoy", *IN_A_BUCKET, "cli-tracking")
"""Built only when they are named."""


@dataclass(frozen=True)
class Builder:
    """How images are built here."""

    registry: str
    tag: str
    device: str = "cpu"
    wheels: str = ""
    pip_conf: str = ""
    network: str = ""
    source: str = "unknown"
    cache: str = ""
    """Repository in a registry whose tags hold the layers of every stage, one tag for each image; empty: none."""
    writes_cache: bool = False
    rebuild: bool = False
    """Builds what is there as well: the tag does not tell another base image or other wheels."""

    def name(self, image: str) -> str:
        """The full name of an image."""
        return f"{self.registry}/{image}:{self.tag}"

    def build(self, image: str) -> str:
        """Builds one image, unless it is there and `rebuild` is off, and returns what there is to say about it.

        One of this content also gets the tag without the experiments, by which those that hold none are found again
        when only these have changed.

        Raises:
            SystemExit: the build failed, or the image is larger than its budget.
        """
        name, budget = self.name(image), IMAGES[image].budget_mb
        ours = self.tag == content_tag(self.device)
        code = f"{self.registry}/{image}:{code_tag(self.device)}" if ours else name
        known = name if IMAGES[image].file == "cli" else code
        there = 0 if self.rebuild else size(known)
        if not there:
            _docker(*self._command(image), *self._cache_to(image), "--load", "--tag", known, ".", say=image)
        large = there or size(known)
        if self.device == "cpu" and large > budget * MB:
            raise SystemExit(f"{name} has {large / MB:,.0f} MB, its budget is {budget} MB; see docker history {known}")
        # What stands under another tag already may be older than this.
        newest = [f"{self.registry}/{image}:dev{suffix(self.device)}"] if ours or not there else []
        for other in (name, code, *newest):
            if other != known:
                _docker("tag", known, other, say=image)
        return f"{name}: {large / MB:,.0f} MB of {budget:,}"

    def sbom(self, image: str) -> Path:
        """Writes the Python packages of an image, with versions and licences, as CycloneDX JSON."""
        target = SBOMS / f"{image}-{self.tag}.cdx.json"
        if target.is_file() and not self.rebuild:
            return target
        SBOMS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=SBOMS) as folder:
            output = ("--target", "sbom", "--output", f"type=local,dest={folder}")
            _docker(*self._command(image), *output, ".", say=f"{image} (SBOM)")
            (Path(folder) / "sbom.cdx.json").replace(target)
        return target

    def _command(self, image: str) -> list[str]:
        file, revision = IMAGES[image].file, _git("describe", "--always", "--dirty") or "unknown"
        arguments = {**IMAGES[image].arguments, "DEVICE": self.device, "VERSION": version(), "REVISION": revision}
        command = ["buildx", "build", "--progress", "plain", "--file", f"deploy/docker/{file}.Dockerfile"]
        for key, value in {**arguments, "SOURCE": self.source}.items():
            command += ["--build-arg", f"{key}={value}"]
        if self.cache:
            command += ["--cache-from", f"type=registry,ref={self.cache}:{image}"]
        if self.wheels:
            command += ["--build-context", f"wheels={self.wheels}"]
        if self.pip_conf:
            command += ["--secret", f"id=pip.conf,src={self.pip_conf}"]
        return [*command, *(["--network", self.network] if self.network else [])]

    def _cache_to(self, image: str) -> list[str]:
        if not (self.cache and self.writes_cache):
            return []
        # A cache that cannot be written costs time, not an image.
        return ["--cache-to", f"type=registry,ref={self.cache}:{image},mode=max,ignore-error=true"]


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def content_tag(device: str = "cpu") -> str:
    """`VERSION-HASH` of every file of the repository that goes into the images, `-cuda` for the GPU variants."""
    return _tag((*INPUTS, *PACKAGES, EXPERIMENTS), device)


def code_tag(device: str = "cpu") -> str:
    """The same without the experiments: a tag for running here, where the command's image under it is the newest."""
    return _tag((*INPUTS, *PACKAGES), device)


def _tag(names: tuple[str, ...], device: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(_files(names)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version()}-{digest.hexdigest()[:12]}{suffix(device)}"


def suffix(device: str) -> str:
    """What the tags of a variant end with. Compose and the overlay `local` run `dev`, which has none: the CPU build."""
    return "" if device == "cpu" else f"-{device}"


def _files(names: tuple[str, ...]) -> list[Path]:
    """Files below some paths, without the byte code that .dockerignore keeps out."""
    found = []
    for name in names:
        path = ROOT / name
        below = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        found += [p for p in below if "__pycache__" not in p.parts and p.suffix != ".pyc"]
    return found


def builder_from_environment(registry: str, tag: str, device: str) -> Builder:
    """What the machine needs for builds: wheels, an index' pip.conf, a network, a cache."""
    return Builder(
        registry=registry,
        tag=tag or content_tag(device),
        device=device,
        wheels=os.environ.get("BAKEOFF_WHEELS", ""),
        pip_conf=os.environ.get("BAKEOFF_PIP_CONF", ""),
        network=os.environ.get("BAKEOFF_BUILD_NETWORK", "") or _needed_network(),
        source=os.environ.get("BAKEOFF_SOURCE", "unknown"),
        cache=os.environ.get("BAKEOFF_BUILD_CACHE", ""),
        writes_cache=os.environ.get("BAKEOFF_BUILD_CACHE_WRITE") == "true",
    )


def _needed_network() -> str:
    """The host's network where the engine has no bridge of its own; otherwise the engine's choice."""
    listed = _run("docker", "network", "ls", "--format", "{{.Name}}")
    return "" if "bridge" in listed.stdout.split() else "host"


def _docker(*arguments: str, say: str) -> None:
    ended = _run("docker", *arguments)
    if ended.returncode:
        tail = "\n".join((ended.stdout + ended.stderr).splitlines()[-25:])
        raise SystemExit(f"{say} could not be built: docker {' '.join(arguments[:2])} says:\n{tail}")


def size(name: str) -> int:
    """Bytes of an image, uncompressed; 0 when it is not here."""
    ended = _run("docker", "image", "inspect", "--format", "{{.Size}}", name)
    return int(ended.stdout) if ended.returncode == 0 else 0


def _git(*arguments: str) -> str:
    return _run("git", *arguments).stdout.strip()


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is not installed, or not on the PATH") from None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python deploy/images.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("build", "list", "tag"), help="build; list names and sizes; print the tag")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"default: all but variants; {', '.join(IMAGES)}")
    parser.add_argument("--registry", default=os.environ.get("BAKEOFF_REGISTRY") or "bakeoff")
    parser.add_argument("--tag", default="", help="default: version and hash of the content")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--jobs", type=int, default=2, help="builds at a time")
    parser.add_argument("--rebuild", action="store_true", help="build and list also what exists under its tag")
    parser.add_argument("--no-sbom", action="store_true", help="write no SBOMs")
    options = parser.parse_args()
    if unknown := sorted(set(options.images) - IMAGES.keys()):
        parser.error(f"unknown images {', '.join(unknown)}; known: {', '.join(IMAGES)}")
    if options.action == "tag":
        print(options.tag or content_tag(options.device))
        return
    builder = builder_from_environment(options.registry, options.tag, options.device)
    builder = replace(builder, rebuild=options.rebuild)
    chosen = options.images or [name for name in IMAGES if name not in VARIANTS]
    if options.action == "list":
        listed = [{"image": builder.name(name), "size_mb": size(builder.name(name)) // MB} for name in chosen]
        json.dump(listed, sys.stdout, indent=1)
        return
    if options.rebuild and not options.tag:
        print(
            f"{builder.tag} stays the tag: a machine that has it pulls nothing new; --tag gives a name", file=sys.stderr
        )
    with ThreadPoolExecutor(options.jobs) as pool:
        for line in pool.map(builder.build, chosen):
            print(line, flush=True)
        if not options.no_sbom:
            for path in pool.map(builder.sbom, chosen):
                print(path.relative_to(ROOT), flush=True)


if __name__ == "__main__":
    main()
