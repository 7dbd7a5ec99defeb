"""What tests do with the Compose stack: clients, and the deployment page's own commands."""

import re
import subprocess
from pathlib import Path

from core.errors import BakeoffError
from services.client.inference import InferenceClient
from tests.system.containers import ROOT, Project, wait_for


def production(project: Project, promoted: str) -> InferenceClient:
    """A client outside the project's network, once production serves the model."""
    client = InferenceClient(project.target("production", 7111), timeout_s=20)
    wait_for(lambda: client.model_ready(promoted), f"{promoted} in production")
    return client


def answered(project: Project, model: str) -> int:
    """Requests that the ONNX server has answered for a model since it was loaded; 0 where it is not."""
    with InferenceClient(project.target("serving-onnx", 7111), timeout_s=20) as client:
        try:
            return client.model_statistics(model).requests
        except BakeoffError:
            return 0


def documented(project: Project) -> list[str]:
    """The commands of the page for saving and for restoring, for this project and its images."""
    section = (ROOT / "docs/deploy.md").read_text().partition("## Back up and restore")[2]
    blocks = re.findall(r"```console\n(.+?)```", section, re.S)[:2]
    blocks = [re.sub(r"^make .+\n", "", block, flags=re.M) for block in blocks]
    return [
        block.replace("bakeoff_", f"{project.name}_")
        .replace("project=bakeoff", f"project={project.name}")
        .replace("cli:dev", f"cli:{project.tag}")
        for block in blocks
    ]


def shell(project: Project, commands: str, folder: Path) -> None:
    """Runs commands as somebody does who copies them, and ends at the first that fails."""
    wanted = ["bash", "-e", "-c", commands]
    done = subprocess.run(wanted, cwd=folder, env=project.engine.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
