"""One service of a small bank (frontend -> payment -> ledger), instrumented with the OpenTelemetry SDK alone.

Everything that an operator would set is in the SDK's own environment variables (OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_*,
OTEL_BSP_*, OTEL_BLRP_*, OTEL_METRIC_EXPORT_INTERVAL). The program only picks the exporter of OTEL_EXPORTER_OTLP_PROTOCOL,
as the SDK's auto-configuration does.

    python bank.py [--calls URL]     serves on a free port of 127.0.0.1, which it prints as `PORT n`

    GET  /pay              works for some 40 milliseconds, calls URL where there is one, answers 200, or 502 if that failed
    POST /control/delay/N  makes every later request wait N milliseconds more
"""

import argparse
import logging
import os
import random
import threading
import time
import urllib.request
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

# A call that takes longer has failed, in seconds.
PATIENCE = 2.0


def exporters():
    """The exporters of traces, metrics and logs for the protocol that the environment names."""
    if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter(), OTLPMetricExporter(), OTLPLogExporter()


def instrument():
    """Starts the SDK; returns a logger whose records go out over OTLP."""
    spans, points, records = exporters()
    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(spans))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(points)]))
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(records))
    set_logger_provider(logs)
    logger = logging.getLogger("bank")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    with warnings.catch_warnings():
        # The handler's new home is another package with the same code.
        warnings.simplefilter("ignore", DeprecationWarning)
        logger.addHandler(LoggingHandler(logger_provider=logs))
    return logger


class Bank:
    """What the handlers of one service share."""

    def __init__(self, calls):
        self.calls = calls
        self.delay = 0.0
        self.logger = instrument()
        self.tracer = trace.get_tracer("bank")
        meter = metrics.get_meter("bank")
        self.requests = meter.create_counter("bank.requests", unit="{request}", description="Requests served")
        self.durations = meter.create_histogram("bank.request.duration", unit="s", description="Time to serve one")
        self.in_flight = meter.create_up_down_counter("bank.requests.active", unit="{request}")
        self.queue = meter.create_gauge("bank.queue.depth", unit="{request}", description="Requests that wait")
        self.waiting = 0
        self.lock = threading.Lock()

    def wait(self, step):
        """Counts the requests under way."""
        with self.lock:
            self.waiting += step
            self.queue.set(self.waiting)
        self.in_flight.add(step)

    def work(self, span):
        """Serves one request; returns the HTTP status."""
        # Long beside what a busy machine adds to it.
        time.sleep(random.uniform(0.03, 0.05) + self.delay)
        if not self.calls:
            return 200
        with self.tracer.start_as_current_span("GET", kind=SpanKind.CLIENT) as call:
            host, port = self.calls.removeprefix("http://").split("/")[0].split(":")
            call.set_attribute("http.request.method", "GET")
            call.set_attribute("server.address", host)
            call.set_attribute("server.port", int(port))
            headers = {}
            inject(headers)
            try:
                request = urllib.request.Request(self.calls, headers=headers)
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    answer.read()
                    call.set_attribute("http.response.status_code", answer.status)
                return 200
            except OSError as error:
                call.set_status(Status(StatusCode.ERROR, str(error)))
                call.record_exception(error)
                span.set_status(Status(StatusCode.ERROR))
                self.logger.error("the call to %s failed: %s", self.calls, error)
                return 502

    def serve(self, path, headers):
        """One request with its span, its metrics and its log record."""
        start = time.perf_counter()
        self.wait(1)
        with self.tracer.start_as_current_span(f"GET {path}", extract(headers), SpanKind.SERVER) as span:
            status = self.work(span)
            span.set_attribute("http.request.method", "GET")
            span.set_attribute("http.route", path)
            span.set_attribute("http.response.status_code", status)
            self.logger.info("served %s with %d", path, status)
        self.wait(-1)
        attributes = {"http.route": path, "http.response.status_code": status}
        self.requests.add(1, attributes)
        self.durations.record(time.perf_counter() - start, attributes)
        return status


def handler(bank):
    """The HTTP side of the service."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            # HTTP does not tell Traceparent from traceparent; the SDK's getter does.
            self.answer(bank.serve(self.path, {name.lower(): value for name, value in self.headers.items()}))

        def do_POST(self):
            bank.delay = int(self.path.removeprefix("/control/delay/")) / 1000
            self.answer(200)

        def log_message(self, *_):
            """Says nothing: what there is to say goes out over OTLP."""

    return Handler


class Server(ThreadingHTTPServer):
    # Callers come in bursts; the default of 5 makes the kernel drop some.
    request_queue_size = 128
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser(description="one service of a small bank")
    parser.add_argument("--calls", default="", help="the next service's URL")
    server = Server(("127.0.0.1", 0), handler(Bank(parser.parse_args().calls)))
    print(f"PORT {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
