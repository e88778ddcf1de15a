"""
Measure the throughput, the rate limit and the memory of a campaign, compared with other ways to send.

    python -m benchmarks.campaign throughput [--postgres URL] [--airflow]
    python -m benchmarks.campaign pace
    python -m benchmarks.campaign memory

The stand-in for Kaleyra is a separate process that responds at once. It shares the machine's cores with the client,
so the ratios are more meaningful than the absolute figures.
"""

# ruff: noqa: S101, S603, T201 - it starts itself as a subprocess, and prints its results
from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.server import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Callable

LINK = "https://example.com/v.mp4"
SENDER = "+999100000000"
CONNECTIONS = 100


def main() -> None:
    """Run one of the benchmarks and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    throughput = commands.add_parser("throughput", help="messages per second without a rate limit")
    throughput.add_argument("--messages", type=int, default=5000)
    throughput.add_argument("--repeat", type=int, default=5)
    throughput.add_argument("--postgres", help="Airflow's URL of an empty database for the ledger: postgres://…")
    throughput.add_argument("--airflow", action="store_true", help="also measure one mapped task per message")
    pace = commands.add_parser("pace", help="whether the rate stays below messages_per_second and reaches it")
    pace.add_argument("--rates", type=float, nargs="+", default=[20.0, 500.0])
    pace.add_argument("--seconds", type=float, default=20.0)
    memory = commands.add_parser("memory", help="peak memory of a dry run over a CSV")
    memory.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    peak = commands.add_parser("peak")  # one measurement of memory, started in a separate process
    peak.add_argument("file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kaleyra-benchmark-") as home:
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False")
        os.environ.update(AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR")
        os.environ["AIRFLOW_CONN_LEDGER"] = json.dumps({"conn_type": "sqlite", "host": f"{home}/ledger.db"})
        if options.command == "throughput":
            _throughput(options.messages, options.repeat, options.postgres, with_airflow=options.airflow)
        elif options.command == "pace":
            _pace(options.rates, options.seconds)
        elif options.command == "memory":
            _memory(options.rows, Path(home))
        else:
            _peak(options.file)


def _throughput(messages: int, repeat: int, postgres: str | None, *, with_airflow: bool) -> None:
    ways: dict[str, Callable[[Server, list[str]], None]] = {
        "bare aiohttp loop, without a ledger": _bare_aiohttp,
        "campaign, ledger in SQLite": lambda server, to: _campaign(server, to, "ledger"),
    }
    if postgres:
        os.environ["AIRFLOW_CONN_POSTGRES_LEDGER"] = postgres
        ways["campaign, ledger in PostgreSQL"] = lambda server, recipients: _campaign(
            server, recipients, "postgres_ledger"
        )
    ways["requests, sequentially"] = _requests_loop
    rates: dict[str, list[float]] = {way: [] for way in ways}
    costs: dict[str, list[float]] = {way: [] for way in ways}
    with running_server() as server:
        for way in ways.values():
            way(server, _recipients(200))  # import modules and create tables before measuring
        for _ in range(repeat):  # alternately, so that noise affects all ways equally
            for name, way in ways.items():
                count = messages if way is not _requests_loop else messages // 5
                recipients = _recipients(count)
                started, cpu = time.perf_counter(), time.process_time()
                way(server, recipients)
                rates[name].append(count / (time.perf_counter() - started))
                costs[name].append(count / (time.process_time() - cpu))
    bare = statistics.median(rates["bare aiohttp loop, without a ledger"])
    print(f"{'way':40} {'messages/s':>12} {'of bare':>8} {'per CPU second':>15}")
    for name in ways:
        rate, cost = statistics.median(rates[name]), statistics.median(costs[name])
        print(f"{name:40} {rate:12.0f} {rate / bare:8.2f} {cost:15.0f}")
    if with_airflow:
        rate = _mapped_tasks()
        print(f"{'one mapped task each, LocalExecutor':40} {rate:12.1f} {rate / bare:8.4f} {'':>15}")


def _campaign(server: Server, recipients: list[str], ledger: str, rate: float = 10_000) -> dict[str, Any]:
    from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator

    connection = {"conn_type": "kaleyra", "host": server.url, "login": "SID", "password": "key"}
    os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"] = json.dumps(connection | {"extra": {"business_phone_number": SENDER}})
    operator = KaleyraSendVideoCampaignOperator(
        task_id="send",
        campaign_id=uuid4().hex,
        recipients=recipients,
        ledger_conn_id=ledger,
        media_link=LINK,
        messages_per_second=rate,
        max_connections=CONNECTIONS,
    )
    summary = operator.execute({})
    assert summary["accepted"] == len(recipients), summary
    return summary


def _bare_aiohttp(server: Server, recipients: list[str]) -> None:
    import aiohttp

    async def send_all() -> None:
        slots = asyncio.Semaphore(CONNECTIONS)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

            async def send(to: str) -> None:
                async with slots, session.post(_url(server), json=_payload(to), headers={"api-key": "key"}) as response:
                    await response.json()

            await asyncio.gather(*(send(to) for to in recipients))

    asyncio.run(send_all())


def _requests_loop(server: Server, recipients: list[str]) -> None:
    import requests

    with requests.Session() as session:
        session.trust_env = False
        for to in recipients:
            session.post(_url(server), json=_payload(to), headers={"api-key": "key"}, timeout=30).json()


def _url(server: Server) -> str:
    return f"{server.url}/v2/SID/whatsapp/{SENDER}/messages"


def _payload(to: str) -> dict[str, Any]:
    video = {"to": to, "type": "video", "video": {"link": LINK}}
    return {"messaging_object": {"messaging_product": "whatsapp", "recipient_type": "individual"} | video}


def _mapped_tasks(count: int = 60) -> float:
    """Return the messages per second of a common approach: one mapped task per recipient, in a real Airflow."""
    from dev.airflow import running_airflow
    from dev.sandbox import connection_to, running_sandbox

    with tempfile.TemporaryDirectory() as dags, running_sandbox() as sandbox:
        Path(dags, "mapped.py").write_text(
            "from datetime import datetime\n"
            "from airflow.providers.common.compat.sdk import DAG\n"
            "from airflow_provider_kaleyra.operators.video import KaleyraSendVideoOperator\n"
            "with DAG('mapped', start_date=datetime(2026, 1, 1), schedule=None):\n"
            f"    KaleyraSendVideoOperator.partial(task_id='send', media_link={LINK!r})\\\n"
            f"        .expand(to={_recipients(count)!r})\n"
        )
        environment = {
            "AIRFLOW_CONN_KALEYRA_DEFAULT": connection_to(sandbox),
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
        with running_airflow(Path(dags), environment) as airflow:
            started = time.perf_counter()
            state = airflow.wait_for_run("mapped", airflow.trigger("mapped"), 600)
            assert state == "success", state
            return count / (time.perf_counter() - started)


def _pace(rates: list[float], seconds: float) -> None:
    print(f"{'messages_per_second':>20} {'measured at server':>22} {'ratio':>7} {'busiest second':>15}")
    with running_server() as server:
        for rate in rates:
            server.arrivals()
            _campaign(server, _recipients(int(rate * seconds)), "ledger", rate)
            arrivals = server.arrivals()
            reached = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
            print(f"{rate:20.0f} {reached:22.2f} {reached / rate:7.3f} {_busiest_second(arrivals):15d}")


def _busiest_second(arrivals: list[float]) -> int:
    first, most = 0, 0
    for index, when in enumerate(arrivals):
        while arrivals[first] <= when - 1:
            first += 1
        most = max(most, index - first + 1)
    return most


def _memory(sizes: list[int], home: Path) -> None:
    print(f"{'rows':>10} {'peak memory (MB)':>17} {'seconds':>8}")
    for size in sizes:
        file = home / f"{size}.csv"
        with file.open("w") as output:
            output.write("to,name\n")
            output.writelines(f"{to},Name of {to}\n" for to in _recipients(size))
        started = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.campaign", "peak", str(file)]
        completed = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"{size:10d} {int(completed.stdout.split()[-1]) / 1024:17.1f} {time.perf_counter() - started:8.1f}")


def _peak(file: str) -> None:
    from airflow_provider_kaleyra.operators.campaign import KaleyraSendVideoCampaignOperator

    connection = {"conn_type": "kaleyra", "login": "SID", "password": "key"}
    os.environ["AIRFLOW_CONN_KALEYRA_DEFAULT"] = json.dumps(connection | {"extra": {"business_phone_number": SENDER}})
    KaleyraSendVideoCampaignOperator(
        task_id="send",
        campaign_id="c",
        recipients=file,
        ledger_conn_id="ledger",
        media_link=LINK,
        caption="Dear $name",
        dry_run=True,
    ).execute({})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _recipients(count: int) -> list[str]:
    return [f"+9198{index:08d}" for index in range(count)]


if __name__ == "__main__":
    main()
