"""Copies the objects below a prefix of a bucket into a folder, so that tests can look at them as files.

Usage: s3_fetch.py PORT BUCKET PREFIX FOLDER. Standard output is one line of JSON: how many objects there were.
"""

import json
import pathlib
import sys

import boto3
import botocore.config


def main() -> None:
    port, bucket, prefix, folder = sys.argv[1:]
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        # What the machine says of proxies is not meant for itself.
        config=botocore.config.Config(proxies={}),
    )
    count = 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/"):
        for item in page.get("Contents", []):
            target = pathlib.Path(folder, item["Key"].removeprefix(prefix + "/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
            count += 1
    print(json.dumps({"objects": count}))


main()
