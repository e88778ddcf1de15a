"""A real object store on loopback: moto's server, which speaks S3 over HTTP, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import boto3
import requests
from botocore.config import Config

REGION = "us-east-1"


@dataclass
class Bucket:
    """A bucket, as one who owns it sees it."""

    name: str
    client: Any

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def keys(self) -> list[str]:
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def url(self, key: str = "", conn_id: str = "store") -> str:
        """The URL that Airflow opens with that Connection."""
        return f"s3://{conn_id}@{self.name}/{key}"


@dataclass
class RunningS3:
    """Where it listens."""

    url: str

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(proxies={}),
        )

    def new_bucket(self) -> Bucket:
        bucket = Bucket(f"bucket-{secrets.token_hex(6)}", self.client())
        bucket.client.create_bucket(Bucket=bucket.name)
        return bucket

    def connection(self, key: str = "key", secret: str = "secret", url: str | None = None) -> str:
        """An Airflow Connection to it, as JSON; it takes any key, unless *checking_keys*."""
        extra = {
            "endpoint_url": url or self.url,
            "region_name": REGION,
            "config_kwargs": {"retries": {"max_attempts": 1}},
        }
        return json.dumps({"conn_type": "aws", "login": key, "password": secret, "extra": extra})

    def new_user(self, **allowed: Any) -> tuple[str, str]:
        """The key and the secret of a user who may do what is allowed."""
        iam, name = self.client("iam"), secrets.token_hex(6)
        iam.create_user(UserName=name)
        if allowed:
            policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*"} | allowed]}
            iam.put_user_policy(UserName=name, PolicyName="allowed", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    @contextlib.contextmanager
    def checking_keys(self) -> Iterator[None]:
        """Take only the keys of its users meanwhile, for what these may do."""
        with requests.Session() as session:
            session.trust_env = False
            reset = f"{self.url}/moto-api/reset-auth"
            session.post(reset, data="0", timeout=30).raise_for_status()
            try:
                yield
            finally:
                session.post(reset, data="inf", timeout=30).raise_for_status()


@contextlib.contextmanager
def running_s3() -> Iterator[RunningS3]:
    """Start it, wait until it listens, end it afterwards."""
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=output) as process,
    ):
        try:
            yield RunningS3(_url(process, output))
        finally:
            process.kill()


def _url(process: subprocess.Popen[bytes], output: IO[str]) -> str:
    end = time.monotonic() + 30
    while True:
        output.seek(0)
        told = output.read()
        if match := re.search(r"Running on (http://\S+)", told):
            return match[1]
        assert process.poll() is None, told
        assert time.monotonic() < end, told
        time.sleep(0.05)
