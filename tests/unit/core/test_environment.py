import os
import subprocess
import sys

import numpy as np
import pytest

from core import environment


def test_peak_memory_is_this_process_alone_and_follows_what_it_touches() -> None:
    # Whatever the parent has in memory does not count.
    ballast = np.ones(60_000_000)
    program = (
        "import numpy as np\nfrom core.environment import peak_memory_bytes as peak\n"
        "before = peak(); big = np.ones(25_000_000); print(before, peak() - before)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    before, growth = map(int, output.split())
    assert before < ballast.nbytes
    assert 190e6 < growth < 260e6


def test_an_environment_says_what_it_measured_on() -> None:
    found = environment.describe(threads=2, contended=True)
    assert found.threads == 2
    assert found.contended
    assert found.cpu_quota > 0
    assert found.memory_bytes > 1 << 28
    assert found.boot_id == environment.describe(threads=1).boot_id
    assert {"numpy", "pillow"} <= found.versions.keys()


def test_it_tells_the_variables_that_change_speed_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(environment.SPEED_VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "0")
    monkeypatch.setenv("TF_VAR_password", "secret")
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")
    assert environment.describe(threads=1).variables == {"MALLOC_MMAP_MAX_": "0", "OMP_NUM_THREADS": "2"}
