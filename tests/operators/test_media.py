from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_kaleyra.hooks.kaleyra import KaleyraHook
from airflow_provider_kaleyra.operators.media import KaleyraUploadMediaOperator


@pytest.fixture
def uploads(monkeypatch):
    """What the hook was asked to upload."""
    asked: list[tuple[object, ...]] = []

    def upload_media(hook, *arguments):
        asked.append((hook.kaleyra_conn_id, *arguments))
        return "42"

    monkeypatch.setattr(KaleyraHook, "upload_media", upload_media)
    return asked


def test_it_returns_the_media_id_of_the_rendered_file(uploads):
    operator = KaleyraUploadMediaOperator(
        task_id="upload",
        file="s3://videos/{{ day }}.mp4",
        mime_type="{{ mime }}",
        business_phone_number="{{ sender }}",
        kaleyra_conn_id="kaleyra_{{ team }}",
    )
    operator.render_template_fields(
        {"day": "2026-01-02", "mime": "video/mp4", "sender": "+12025550199", "team": "content"}
    )
    assert operator.execute({}) == "42"
    assert uploads == [("kaleyra_content", "s3://videos/2026-01-02.mp4", "video/mp4", "+12025550199")]


def test_unset_fields_use_the_defaults_of_the_hook(uploads):
    assert KaleyraUploadMediaOperator(task_id="upload", file="v.mp4").execute({}) == "42"
    assert uploads == [("kaleyra_default", "v.mp4", None, None)]


def test_it_can_be_mapped(uploads):
    assert KaleyraUploadMediaOperator.partial(task_id="upload").expand(file=["a.mp4", "b.mp4"])


def test_importing_it_imports_no_http_client():
    script = (
        "import sys\n"
        "import airflow.providers.common.compat.sdk as sdk\n"
        "sdk.BaseOperator\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_kaleyra.operators.media\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n')\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    new = {line.partition(".")[0] for line in done.stdout.splitlines()}
    assert "airflow_provider_kaleyra" in new
    assert not new & {"requests", "urllib3", "aiohttp", "tenacity", "fsspec", "upath"}
