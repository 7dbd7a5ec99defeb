"""The bucket of the Compose layer s3, made on a server that speaks S3."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

SCRIPT = Path(__file__).parents[3] / "deploy/s3/bucket.py"


def test_the_bucket_is_made_once_and_kept_the_second_time() -> None:
    account = {"AWS_ACCESS_KEY_ID": "bakeoff", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        for _ in range(2):
            command = [sys.executable, str(SCRIPT), "layer-s3"]
            subprocess.run(command, env={**clean, **account, "AWS_ENDPOINT_URL": endpoint}, check=True)
        client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="bakeoff", aws_secret_access_key="secret")
        assert "layer-s3" in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    finally:
        server.stop()
