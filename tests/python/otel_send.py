"""Sends metrics, traces and logs through the real OpenTelemetry SDK and its OTLP exporters.

Used by the end-to-end tests of the server. Standard output is one JSON line that says what was sent; standard
error names what the exporters complained of, and then the exit code is 1.

Every item carries the attribute `run`, so that several runs can share a tenant.
"""

import argparse
import contextlib
import json
import logging
import sys
import warnings

import grpc
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, format_span_id, format_trace_id

SERVICE = "shop"
NAMESPACE = "demo"
SPANS_PER_TRACE = 4
KINDS = [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.PRODUCER]
SEVERITIES = [logging.INFO, logging.WARNING, logging.ERROR, logging.DEBUG]
FLUSH_MS = 30_000


class Complaints(logging.Handler):
    """Remembers what the exporters give up on: they do not raise. Retries, which only warn, may succeed."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-grpc", required=True, metavar="HOST:PORT")
    parser.add_argument("--endpoint-http", required=True, metavar="http://HOST:PORT")
    parser.add_argument("--tenant", required=True)
    parser.add_argument("--protocol", choices=["grpc", "http"], required=True)
    parser.add_argument("--compression", choices=["none", "gzip", "deflate"], default="none")
    parser.add_argument("--run", required=True, help="marks everything that this run sends")
    parser.add_argument("--count", type=int, required=True, help="how many spans, log records and orders")
    return parser.parse_args()


def make_exporters(arguments):
    """The exporters for metrics, spans and logs."""
    headers = {"x-scope-orgid": arguments.tenant}
    if arguments.protocol == "grpc":
        codecs = {
            "none": grpc.Compression.NoCompression,
            "gzip": grpc.Compression.Gzip,
            "deflate": grpc.Compression.Deflate,
        }
        options = {
            "endpoint": arguments.endpoint_grpc,
            "insecure": True,
            "headers": headers,
            "compression": codecs[arguments.compression],
        }
        return GrpcMetrics(**options), GrpcSpans(**options), GrpcLogs(**options)
    codecs = {"none": Compression.NoCompression, "gzip": Compression.Gzip, "deflate": Compression.Deflate}
    options = {"headers": headers, "compression": codecs[arguments.compression]}
    base = arguments.endpoint_http.rstrip("/")
    return (
        HttpMetrics(endpoint=f"{base}/v1/metrics", **options),
        HttpSpans(endpoint=f"{base}/v1/traces", **options),
        HttpLogs(endpoint=f"{base}/v1/logs", **options),
    )


class Instruments:
    """One instrument of each kind; what they are told is summed up for the report."""

    def __init__(self, provider, run):
        meter = provider.get_meter("shop.meter", "1.0")
        self.attributes = {"run": run}
        self.orders = meter.create_counter("shop.orders", unit="1", description="Orders taken")
        self.open = meter.create_up_down_counter("shop.orders.open", unit="1", description="Orders not yet sent")
        self.stock = meter.create_gauge("shop.stock", unit="1", description="Items in stock")
        self.duration = meter.create_histogram(
            "shop.request.duration",
            unit="s",
            description="How long a request takes",
            explicit_bucket_boundaries_advisory=[0.1, 0.5, 1.0],
        )
        self.size = meter.create_histogram("shop.request.size", unit="By", description="How large a request is")
        self.sent = {
            "counter": {"name": "shop.orders", "total": 0},
            "up_down_counter": {"name": "shop.orders.open", "value": 0},
            "gauge": {"name": "shop.stock", "value": 0},
            "histogram": {"name": "shop.request.duration", "count": 0, "sum": 0.0, "bounds": [0.1, 0.5, 1.0]},
            "exponential_histogram": {"name": "shop.request.size", "count": 0, "sum": 0.0},
        }

    def record(self, index):
        self.orders.add(1, self.attributes)
        self.open.add(1 if index % 2 == 0 else -1, self.attributes)
        self.stock.set(1000 - index, self.attributes)
        # Quarters and powers of two add up exactly.
        duration, size = (index % 8) * 0.25, float(2 ** (index % 16))
        self.duration.record(duration, self.attributes)
        self.size.record(size, self.attributes)
        self.sent["counter"]["total"] += 1
        self.sent["up_down_counter"]["value"] += 1 if index % 2 == 0 else -1
        self.sent["gauge"]["value"] = 1000 - index
        for key, value in (("histogram", duration), ("exponential_histogram", size)):
            self.sent[key]["count"] += 1
            self.sent[key]["sum"] += value


def start_span(tracer, run, index, depth, links):
    """A span with an attribute of every type."""
    return tracer.start_as_current_span(
        f"order step {depth}",
        kind=KINDS[depth],
        links=links,
        attributes={
            "run": run,
            "order.index": index,
            "order.price": index + 0.5,
            "order.express": index % 2 == 0,
            "order.items": ["book", "pen"],
            "order.amounts": [1, 2],
            "order.weights": [0.5, 1.5],
            "order.flags": [True, False],
        },
    )


def send(arguments, tracer, instruments, logger):
    """Walks through `count` steps, each a span with one log record and one measurement per instrument."""
    sent = {"trace_ids": [], "root_span_ids": [], "error_spans": 0, "logs": []}
    previous = None
    for first in range(0, arguments.count, SPANS_PER_TRACE):
        with contextlib.ExitStack() as nested:
            for depth in range(min(SPANS_PER_TRACE, arguments.count - first)):
                index = first + depth
                links = [Link(previous, {"why": "previous order"})] if depth == 0 and previous else []
                span = nested.enter_context(start_span(tracer, arguments.run, index, depth, links))
                span.add_event("step taken", {"depth": depth})
                context = span.get_span_context()
                if depth == 0:
                    previous = context
                    sent["trace_ids"].append(format_trace_id(context.trace_id))
                    sent["root_span_ids"].append(format_span_id(context.span_id))
                if depth == SPANS_PER_TRACE - 1:
                    span.record_exception(ValueError("out of stock"))
                    span.set_status(Status(StatusCode.ERROR, "out of stock"))
                    sent["error_spans"] += 1
                body = f"run={arguments.run} order={index} step taken"
                logger.log(SEVERITIES[depth], body, extra={"run": arguments.run, "order.index": index})
                sent["logs"].append(body)
                instruments.record(index)
    return sent


def main():
    arguments = parse_arguments()
    complaints = Complaints()
    logging.getLogger("opentelemetry").addHandler(complaints)
    # The handler's successor lives in another package; this one is the SDK's own.
    warnings.simplefilter("ignore", DeprecationWarning)

    resource = Resource.create(
        {
            "service.name": SERVICE,
            "service.namespace": NAMESPACE,
            "service.instance.id": arguments.run,
            "deployment.environment": "test",
            "host.cores": 2,
        }
    )
    metric_exporter, span_exporter, log_exporter = make_exporters(arguments)
    # The interval is out of reach: the shutdown below sends, so that a run's totals arrive once.
    reader = PeriodicExportingMetricReader(metric_exporter, export_interval_millis=3_600_000)
    view = View(instrument_name="shop.request.size", aggregation=ExponentialBucketHistogramAggregation())
    meters = MeterProvider(metric_readers=[reader], resource=resource, views=[view])
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(span_exporter))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    logger = logging.getLogger("shop.orders")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(LoggingHandler(logger_provider=loggers))

    instruments = Instruments(meters, arguments.run)
    sent = send(arguments, tracers.get_tracer("shop.tracer", "1.0"), instruments, logger)

    is_flushed = all([provider.force_flush(FLUSH_MS) for provider in (tracers, loggers)])
    meters.shutdown(FLUSH_MS)
    for provider in (tracers, loggers):
        provider.shutdown()
    if complaints.lines or not is_flushed:
        sys.stderr.write("\n".join(complaints.lines or ["the exporters did not finish in time"]) + "\n")
        return 1
    report = {
        "run": arguments.run,
        "tenant": arguments.tenant,
        "service": SERVICE,
        "job": f"{NAMESPACE}/{SERVICE}",
        "spans": arguments.count,
        "metrics": instruments.sent,
        **sent,
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
