#!/usr/bin/env python3
"""An hour of full load in little memory.

Starts a release build of the server under a limit of memory (a control group below this process's own where it may make
one, else the server's setting alone), writes metrics, logs and traces as fast as they are taken, asks questions beside
that, samples memory every second, and at the end kills the server, starts it again and looks for everything that was
acknowledged. Prints PASS or FAIL with the reasons; the samples are a CSV file.

    cargo build --release -p stella
    tests/soak/soak.py --minutes 60 --limit-mib 512 --out soak
"""

import argparse
import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PARTS = ["heads", "merges", "queries", "caches", "requests", "log"]
# Rounds of one signal follow each other in the time that they tell of, from so long ago on.
BEGIN_S = 2 * 24 * 3600
ROUND_S = 600
TENANTS = 3


class Group:
    """A control group with a limit of memory, of version 1 or 2; none where this process may not make one."""

    def __init__(self, name, limit_bytes):
        self.path = None
        for line in open("/proc/self/cgroup"):
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controllers == "" and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
                self.base, self.files = f"/sys/fs/cgroup{path}", ("memory.max", "memory.current")
            elif "memory" in controllers.split(","):
                self.base = f"/sys/fs/cgroup/memory{path}"
                self.files = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            else:
                continue
            try:
                group = pathlib.Path(self.base, f"{name}-{os.getpid()}")
                group.mkdir()
                (group / self.files[0]).write_text(str(limit_bytes))
                swap = group / "memory.swap.max"
                if swap.exists():
                    swap.write_text("0")
                self.path = group
                return
            except OSError as error:
                print(f"no control group at {self.base}: {error}")

    def join(self):
        """Called in the child, before it becomes the server."""
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def usage_bytes(self):
        return int((self.path / self.files[1]).read_text()) if self.path else 0

    def remove(self):
        if self.path:
            try:
                self.path.rmdir()
            except OSError:
                pass


class Soak:
    def __init__(self, options):
        self.options = options
        self.out = pathlib.Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.group = Group("stella-soak", options.limit_mib << 20)
        self.failures, self.rounds, self.answers, self.samples = [], [], {}, []
        # What the last refusal of each kind said.
        self.refusals = {}
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.began = int(time.time())
        self.server = None

    def fail(self, text):
        with self.lock:
            self.failures.append(text)
        print("FAILED:", text, flush=True)

    def url(self, port, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        return f"http://127.0.0.1:{port + self.options.port_offset}{path}" + (f"?{query}" if query else "")

    def get(self, tenant, url, timeout=150):
        request = urllib.request.Request(url, headers={"X-Scope-OrgID": tenant})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    # The server.

    def start(self):
        command = [self.options.binary, "up", "--plaintext", "--data-dir", str(self.out / "data")]
        command += ["--port-offset", str(self.options.port_offset)]
        if not self.group.path:
            command += ["--memory-limit", f"{self.options.limit_mib}MiB"]
        path = self.out / "server.log"
        log = open(path, "ab")
        said_before = log.tell()
        at = time.monotonic()
        self.server = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=self.group.join)
        # Its own word, as another server may answer on the port.
        while b"stella is ready" not in path.read_bytes()[said_before:]:
            if self.server.poll() is not None:
                sys.exit(f"the server does not start: see {path}")
            time.sleep(0.01)
        print(f"ready after {(time.monotonic() - at) * 1000:.0f} ms", flush=True)

    def metrics(self):
        _, _, body = self.get("soak", self.url(9090, "/metrics"), 10)
        values = {}
        for line in body.decode().splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                values[series] = float(value)
        return values

    def rss_mib(self):
        for line in open(f"/proc/{self.server.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def sample(self):
        names = ["seconds", "rss_mib", "group_mib", "refused", "segments", "wal_files"] + PARTS
        with open(self.out / "samples.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            while not self.stop.wait(1):
                if self.server.poll() is not None:
                    return self.fail(f"the server ended by itself: {self.server.returncode}")
                try:
                    values = self.metrics()
                    rss = self.rss_mib()
                except OSError:
                    continue
                used = [values.get(f'stella_memory_used_bytes{{part="{part}"}}', 0) / 2**20 for part in PARTS]
                refused = sum(v for k, v in values.items() if k.startswith("stella_ingest_refused_batches_total"))
                segments = sum(v for k, v in values.items() if k.startswith("stella_segments{"))
                row = [time.time() - self.began, rss, self.group.usage_bytes() / 2**20, refused, segments]
                row += [values.get("stella_wal_files", 0)] + used
                writer.writerow([f"{value:.1f}" for value in row])
                file.flush()
                self.samples.append(row)

    # The load.

    def load(self, kind):
        sizes = {
            "metrics": ["--series", "10000", "--interval", "2s", "--stretch", f"{ROUND_S}s"],
            "logs": ["--lines", "1000000", "--stretch", f"{ROUND_S}s"],
            "traces": ["--spans", "400000", "--stretch", f"{ROUND_S}s"],
        }[kind]
        number = 0
        while not self.stop.is_set():
            tenant = f"soak-{number % TENANTS}"
            end_s = self.began - BEGIN_S + (number + 1) * ROUND_S
            end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end_s))
            command = [self.options.binary, "bench", "ingest", kind, "--json", "--no-settle", "--tenant", tenant]
            command += ["--port-offset", str(self.options.port_offset), "--seed", str(number), "--end", end]
            command += ["--ahead-mib", "64", "--concurrency", "3"] + sizes
            run = subprocess.run(command, capture_output=True, text=True, timeout=1800)
            try:
                report = json.loads(run.stdout)
                report = report[0] if isinstance(report, list) else report
            except ValueError:
                self.fail(f"round {number} of {kind}: {run.stderr.strip()[-300:]}")
                self.stop.wait(5)
                number += 1
                continue
            found = report.get("found") or {"items": 0, "of": 0}
            if found["items"] != found["of"]:
                self.fail(f"round {number} of {kind}: {found['items']} of {found['of']} found")
            with self.lock:
                self.rounds.append((kind, tenant, end_s, report["acknowledged"], report["refusals"]))
            print(
                f"{time.time() - self.began:6.0f} s  {kind:8} {report['per_second']:9.0f}/s "
                f"{report['cpu_us_per_item']:6.2f} us each, refused {report['refusals']}, "
                f"rss {self.rss_mib():.0f} MiB",
                flush=True,
            )
            number += 1

    def questions(self):
        """Small and large questions; the large ones may be refused by their limits, and never more than that."""
        day = {"start": self.began - BEGIN_S, "end": self.began}
        prom = lambda query: self.url(9090, "/api/v1/query_range", query=query, step=300, **day)
        loki = lambda query: self.url(3100, "/loki/api/v1/query_range", query=query, step=300, **day)
        return [
            ("series", prom('sum by (job) ({__name__=~".+_total"})')),
            ("all series", prom('{__name__=~".+"}')),
            ("lines", loki('{service_name=~".+"} |= "error"')),
            ("all lines", loki('sum by (service_name) (count_over_time({service_name=~".+"}[5m]))')),
            ("search", self.url(3200, "/api/search", q="{ duration > 1ms }", limit=200, **day)),
            ("tags", self.url(3200, "/api/v2/search/tags", **day)),
            ("labels", self.url(9090, "/api/v1/series", **{"match[]": '{__name__=~".+"}'}, **day)),
        ]

    def ask(self, turn):
        while not self.stop.is_set():
            for name, url in self.questions():
                try:
                    status, headers, body = self.get(f"soak-{turn % TENANTS}", url)
                except OSError as error:
                    if not self.stop.is_set():
                        self.fail(f"question {name}: {error}")
                    return
                with self.lock:
                    key = (name, status)
                    self.answers[key] = self.answers.get(key, 0) + 1
                    if status != 200:
                        self.refusals[key] = body[:200].decode(errors="replace")
                if status not in (200, 400, 422, 429, 503) or not body:
                    self.fail(f"question {name} is answered with {status}: {body[:200]}")
                if status in (429, 503) and b"timed out" not in body and "Retry-After" not in headers:
                    self.fail(f"question {name} is answered with {status} and no Retry-After")
                if self.stop.wait(0.2):
                    return
            turn += 1

    # The end.

    def count(self, kind, tenant, end_s):
        """What queries find of a round; traces are counted by their rounds."""
        if kind == "logs":
            query = f'sum(count_over_time({{service_name=~".+"}}[{ROUND_S * 1000 + 1}ms]))'
            return self.number(tenant, self.url(3100, "/loki/api/v1/query", query=query, time=end_s * 10**9))
        # Each metric by itself: without their names series of two may be alike.
        url = self.url(9090, "/api/v1/label/__name__/values", start=end_s - ROUND_S, end=end_s)
        _, _, body = self.get(tenant, url)
        total = 0
        for name in json.loads(body)["data"]:
            if name != "target_info":
                query = f"sum(count_over_time({name}[{ROUND_S * 1000 + 1}ms]))"
                found = self.number(tenant, self.url(9090, "/api/v1/query", query=query, time=end_s))
                if not isinstance(found, int):
                    return found
                total += found
        return total

    def number(self, tenant, url):
        """The only number of an answer; what else was answered where there is none."""
        for _ in range(60):
            status, headers, body = self.get(tenant, url)
            if status == 200:
                result = json.loads(body)["data"]["result"]
                return int(float(result[0]["value"][1])) if result else 0
            time.sleep(float(headers.get("Retry-After", 1)))
        return f"status {status}: {body[:200]}"

    def check(self):
        """Everything that was acknowledged is there after a kill, once the log is replayed."""
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()
        log = sum(file.stat().st_size for file in (self.out / "data" / "wal").iterdir() if file.is_file())
        self.start()
        at, most = time.monotonic(), 0.0
        while self.get("soak", self.url(9090, "/-/ready"))[1].get("x-stella-replay"):
            most = max(most, self.rss_mib())
            time.sleep(0.1)
        took = time.monotonic() - at
        print(f"{log / 2**20:.0f} MiB of log replayed in {took:.1f} s, rss at most {most:.0f} MiB", flush=True)
        # The border of two rounds belongs to both: rounds of a tenant do not touch, as tenants take turns.
        for kind, tenant, end_s, acknowledged, _ in self.rounds:
            if kind == "traces":
                continue
            found = self.count(kind, tenant, end_s)
            if found != acknowledged:
                self.fail(f"{kind} of {tenant} up to {end_s}: {found} of {acknowledged} after the kill")

    def judge(self):
        rss = [row[1] for row in self.samples]
        if len(rss) < 40:
            return self.fail("too few samples")
        limit = self.options.limit_mib
        if max(rss) > limit:
            self.fail(f"resident memory was {max(rss):.0f} MiB, the limit is {limit}")
        # The end of the first third against the last third: what grows would show.
        third = len(rss) // 3
        early = sorted(rss[third : 2 * third])[third // 2]
        late = sorted(rss[2 * third :])[third // 2]
        if late > early * 1.15 + 16:
            self.fail(f"resident memory grows: median {early:.0f} MiB, later {late:.0f} MiB")
        for kind in ("metrics", "logs", "traces"):
            items = sum(round[3] for round in self.rounds if round[0] == kind)
            refused = sum(round[4] for round in self.rounds if round[0] == kind)
            print(f"{kind}: {items} acknowledged, {refused} requests refused and sent again")
            if items == 0:
                self.fail(f"nothing of {kind} was written")
        for (name, status), count in sorted(self.answers.items()):
            print(f"question {name}: {count} x {status} {self.refusals.get((name, status), '')}")
            if status == 200 and count == 0:
                self.fail(f"question {name} was never answered")
        for place, part in enumerate(PARTS, len(self.samples[0]) - len(PARTS)):
            values = sorted(row[place] for row in self.samples)
            print(f"{part}: median {values[len(values) // 2]:.0f} MiB, at most {values[-1]:.0f} MiB")
        print(f"resident memory: at most {max(rss):.0f} MiB, median {early:.0f} then {late:.0f} MiB")

    def run(self):
        self.start()
        threads = [threading.Thread(target=self.sample)]
        threads += [threading.Thread(target=self.load, args=(kind,)) for kind in ("metrics", "logs", "traces")]
        threads += [threading.Thread(target=self.ask, args=(turn,)) for turn in range(2)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self.options.minutes * 60
        while time.monotonic() < deadline and self.server.poll() is None:
            time.sleep(1)
        self.stop.set()
        for thread in threads:
            thread.join()
        try:
            if self.server.poll() is None:
                self.judge()
                self.check()
            else:
                self.fail(f"the server ended by itself: {self.server.returncode}")
        finally:
            if self.server.poll() is None:
                self.server.terminate()
                if self.server.wait(timeout=120) != 0:
                    self.fail(f"the server did not stop in order: {self.server.returncode}")
            self.group.remove()
        for failure in self.failures:
            print("FAILED:", failure)
        print("FAIL" if self.failures else "PASS")
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/stella")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--limit-mib", type=int, default=512)
    parser.add_argument("--out", default="soak")
    parser.add_argument("--port-offset", type=int, default=20000)
    sys.exit(Soak(parser.parse_args()).run())


if __name__ == "__main__":
    main()
