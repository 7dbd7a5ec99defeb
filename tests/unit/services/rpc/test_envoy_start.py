"""The process that starts Envoy."""

import subprocess
import sys

HEAVY = ("numpy", "fsspec", "prometheus_client", "core.repository", "services.rpc.server", "services.rpc.hosted")
SCRIPT = f"""
import sys
from services.rpc import envoy, settings
from services.serving import rights, settings
print(*(name for name in {HEAVY} if name in sys.modules))
"""


def test_it_imports_nothing_of_the_service_whose_python_begins_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
