"""The sandbox is independent of the client: it is written from Kaleyra's documentation only."""

from __future__ import annotations

import subprocess
import sys


def test_the_sandbox_imports_neither_the_client_nor_airflow() -> None:
    script = (
        "import sys, pkgutil, importlib, airflow_provider_kaleyra.sandbox as sandbox\n"
        "for module in pkgutil.iter_modules(sandbox.__path__, sandbox.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(*sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.split()
    assert "airflow_provider_kaleyra.sandbox.__main__" in loaded
    own = {name for name in loaded if name.startswith("airflow_provider_kaleyra")}
    others = {name for name in own if not name.startswith("airflow_provider_kaleyra.sandbox")}
    assert others == {"airflow_provider_kaleyra"}
    assert not [name for name in loaded if name == "airflow" or name.startswith("airflow.")]
