"""Run a real object store on loopback: moto's server, which speaks S3 over HTTP, as a process."""

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
    """A bucket, with the access of its owner."""

    name: str
    client: Any

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def keys(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]

    def url(self, key: str = "", conn_id: str = "store") -> str:
        """Return the URL by which Airflow opens the object with that Connection."""
        return f"s3://{conn_id}@{self.name}/{key}"


@dataclass
class RunningS3:
    """A running object store."""

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
        """Return a Connection to the store as JSON. The store accepts any key, except within :meth:`checking_keys`."""
        extra = {
            "endpoint_url": url or self.url,
            "region_name": REGION,
            "config_kwargs": {"retries": {"max_attempts": 1}},
        }
        return json.dumps({"conn_type": "aws", "login": key, "password": secret, "extra": extra})

    def new_user(self, **allowed: Any) -> tuple[str, str]:
        """Return the key and the secret of a new user.

        :param allowed: fields of the IAM statement that allows actions; without any, nothing is allowed.
        """
        iam, name = self.client("iam"), secrets.token_hex(6)
        iam.create_user(UserName=name)
        if allowed:
            policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*"} | allowed]}
            iam.put_user_policy(UserName=name, PolicyName="allowed", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    @contextlib.contextmanager
    def checking_keys(self) -> Iterator[None]:
        """Accept only the keys of users, and only for the actions that these are allowed."""
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
    """Start the store, yield it when it listens, and end it afterwards."""
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
        printed = output.read()
        if match := re.search(r"Running on (http://\S+)", printed):
            return match[1]
        assert process.poll() is None, printed
        assert time.monotonic() < end, printed
        time.sleep(0.05)
