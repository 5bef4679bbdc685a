"""An S3 server for the tests: moto's, on a free port of the loopback address, with one bucket.

It says its port in one line of JSON and ends with its standard input, so that it never outlives its test.
Usage: s3_server.py BUCKET
"""

import http.client
import json
import logging
import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    bucket = sys.argv[1]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    connection = http.client.HTTPConnection(host, port)
    connection.request("PUT", f"/{bucket}")
    status = connection.getresponse().status
    if status != 200:
        raise SystemExit(f"the bucket was not made: status={status}")
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    server.stop()


main()
