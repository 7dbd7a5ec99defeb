"""Runs a command of Bakeoff in the cluster: `python deploy/k8s/command.py promote CANDIDATE --as NAME`.

In a pod of the template that the base brings, the suspended CronJob `command`, with the image, volumes, addresses and
certificates of the overlay; the pod is removed afterwards, and its exit code is this program's. Needs Python 3.11 and
kubectl, nothing else.
"""

import argparse
import json
import subprocess
import uuid
from typing import Any

OURS = "app.kubernetes.io/"
"""Labels that policies select by. Others would be a controller's, which would count the pod."""


def pod_of(cron_job: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """The pod that a CronJob describes, with other arguments for its container."""
    template = cron_job["spec"]["jobTemplate"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key.startswith(OURS)}
    spec = {**template["spec"], "restartPolicy": "Never", "containers": [{**container, "args": words}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}, "spec": spec}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python deploy/k8s/command.py", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--namespace", "-n", default="bakeoff")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND …", help="what follows `bakeoff`")
    options = parser.parse_args()
    kubectl = ["kubectl", "--namespace", options.namespace]
    asked = subprocess.run([*kubectl, "get", "cronjob", "command", "--output", "json"], capture_output=True, text=True)
    if asked.returncode:
        raise SystemExit(f"{asked.stderr.strip()}\nthe command's pod is described there: apply your overlay")
    pod = pod_of(json.loads(asked.stdout), options.words)
    name, image = f"command-{uuid.uuid4().hex[:8]}", pod["spec"]["containers"][0]["image"]
    run = [*kubectl, "run", name, "--rm", "--stdin", "--quiet", "--restart", "Never", "--image", image]
    raise SystemExit(subprocess.run([*run, "--overrides", json.dumps(pod)], stdin=subprocess.DEVNULL).returncode)


if __name__ == "__main__":
    main()
