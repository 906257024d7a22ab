"""What a gateway alone tells about its traffic: spans read by OpenTelemetry's own classes, metrics scraped by a real Prometheus.

`opentelemetry-proto` comes from PyPI; Prometheus is taken from the PATH. What is not there is skipped, and said so.
"""

import base64
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest
import urllib.parse

from foreign import call, end, environment, is_ok
from processes import Settings, eventually, folder, free_base, spawn
from upstream import Upstream

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"

# Reads base64 lines, writes a JSON line each: run where the packages are.
# What a collector answers that rejects some of the spans.
PARTIAL = """
import sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse
sys.stdout.buffer.write(ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(
    rejected_spans=1, error_message="one was too old")).SerializeToString())
"""

READER = """
import base64, json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
for line in sys.stdin:
    print(json.dumps(MessageToDict(ExportTraceServiceRequest.FromString(base64.b64decode(line)))))
"""


class Collector(http.server.BaseHTTPRequestHandler):
    """Writes down what came; the first request is asked to come again."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        first = not self.server.seen
        self.server.seen.append((self.path, dict(self.headers), body))
        self.send_response(503 if first else 200)
        if first:
            self.send_header("Retry-After", "0")
        answer = b"" if first else self.server.answer
        if answer:
            self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def collector(case):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.seen, server.answer = [], b""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    case.addCleanup(server.server_close)
    case.addCleanup(server.shutdown)
    return server


def gateway(case, telemetry, upstream=None):
    """A gateway alone: its process, URL, and URL of administration."""
    upstream = upstream or f'{{targets: [{{url: "{Upstream(case).url}"}}]}}'
    base = free_base()
    place = folder(case)
    with open(f"{place}/otel.headers", "w", encoding="utf-8") as file:
        file.write("Authorization: Bearer abc\n")
    with open(f"{place}/gateway.yaml", "w", encoding="utf-8") as file:
        file.write(f"""version: 1
listen: {{http: "127.0.0.1:{base}", admin: "127.0.0.1:{base + 1}"}}
workers: 1
apis:
  - id: orders
    routes: [{{id: all, path: /orders/*}}]
    upstream: {upstream}
telemetry: {telemetry}
""")
    process = spawn([Settings.binary, "gateway", "--config", f"{place}/gateway.yaml"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    case.addCleanup(end, process)
    admin = f"http://127.0.0.1:{base + 1}"
    eventually(lambda: is_ok(f"{admin}/readyz"), seconds=60)
    return process, f"http://127.0.0.1:{base}", admin


def attributes(owner):
    return {entry["key"]: next(iter(entry["value"].values())) for entry in owner["attributes"]}


class SpanTests(unittest.TestCase):
    def test_spans_are_read_by_opentelemetry(self):
        programs = environment("otlp", "opentelemetry-proto==1.45.2")
        server = collector(self)
        process, url, _ = gateway(
            self, f'{{tracing: {{sample: 1, endpoint: "http://127.0.0.1:{server.server_port}", service_name: edge, '
                  "headers_file: otel.headers}}")
        self.assertEqual(call(f"{url}/orders/1?key=hidden")[0], 200)
        self.assertEqual(call(f"{url}/orders/2", fields={"traceparent": f"00-{TRACE}-{PARENT}-01"})[0], 200)
        self.assertEqual(call(f"{url}/orders/3", fields={"traceparent": f"00-{TRACE}-{PARENT}-00"})[0], 200)
        self.assertEqual(call(f"{url}/nowhere")[0], 404)
        eventually(lambda: len(server.seen) >= 2, seconds=60)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        lines = "".join(base64.b64encode(body).decode() + "\n" for _, _, body in server.seen[1:])
        told = subprocess.run([f"{programs}/python", "-c", READER], input=lines, capture_output=True, text=True, check=True)
        spans = []
        for line in told.stdout.splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                self.assertEqual(attributes(resource["resource"]), {"service.name": "edge"})
                for scope in resource["scopeSpans"]:
                    self.assertEqual(scope["scope"]["name"], "passerelle.gateway")
                    spans += scope["spans"]
        tries = [span for span in spans if span["kind"] == "SPAN_KIND_CLIENT"]
        spans = [span for span in spans if span["kind"] == "SPAN_KIND_SERVER"]
        self.assertEqual(sorted(attributes(span).get("url.path") for span in spans), ["/nowhere", "/orders/1", "/orders/2"])
        by_path = {attributes(span)["url.path"]: span for span in spans}
        # A try below each request that went upstream.
        self.assertEqual({span["parentSpanId"] for span in tries},
                         {by_path["/orders/1"]["spanId"], by_path["/orders/2"]["spanId"]})
        child = by_path["/orders/2"]
        self.assertEqual(base64.b64decode(child["traceId"]).hex(), TRACE)
        self.assertEqual(base64.b64decode(child["parentSpanId"]).hex(), PARENT)
        self.assertEqual(child["kind"], "SPAN_KIND_SERVER")
        self.assertGreaterEqual(int(child["endTimeUnixNano"]), int(child["startTimeUnixNano"]))
        self.assertEqual(attributes(child)["passerelle.api"], "orders")
        self.assertEqual(attributes(child)["http.response.status_code"], "200")
        self.assertNotIn("parentSpanId", by_path["/orders/1"])
        self.assertEqual(attributes(by_path["/nowhere"])["passerelle.reason"], "no-route")
        for path, fields, body in server.seen:
            self.assertEqual(path, "/v1/traces")
            self.assertEqual(fields["Content-Type"], "application/x-protobuf")
            self.assertEqual({name.lower(): value for name, value in fields.items()}["authorization"], "Bearer abc")
            self.assertNotIn(b"hidden", body)

    def test_every_try_at_a_target_is_a_span(self):
        programs = environment("otlp", "opentelemetry-proto==1.45.2")
        server = collector(self)
        server.seen.append(("", {}, b""))
        refusing = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(refusing.close)
        port = refusing.getsockname()[1]
        # Bound, and nobody listens: every connection is refused.
        refusing.close()
        refusing = socket.socket()
        self.addCleanup(refusing.close)
        refusing.bind(("127.0.0.1", port))
        upstream = Upstream(self)
        process, url, _ = gateway(
            self, f'{{tracing: {{sample: 1, endpoint: "http://127.0.0.1:{server.server_port}"}}}}',
            upstream=f'{{targets: [{{url: "http://127.0.0.1:{port}"}}, {{url: "{upstream.url}"}}], retries: {{attempts: 1}}}}')
        self.assertEqual(call(f"{url}/orders/1", fields={"traceparent": f"00-{TRACE}-{PARENT}-01"})[0], 200)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        lines = "".join(base64.b64encode(body).decode() + "\n" for _, _, body in server.seen[1:])
        told = subprocess.run([f"{programs}/python", "-c", READER], input=lines, capture_output=True, text=True, check=True)
        spans = [span for line in told.stdout.splitlines() for resource in json.loads(line)["resourceSpans"]
                 for scope in resource["scopeSpans"] for span in scope["spans"]]
        request = next(span for span in spans if span["kind"] == "SPAN_KIND_SERVER")
        tries = [span for span in spans if span["kind"] == "SPAN_KIND_CLIENT"]
        self.assertEqual(len(tries), 2)
        for span in tries:
            self.assertEqual(base64.b64decode(span["traceId"]).hex(), TRACE)
            self.assertEqual(span["parentSpanId"], request["spanId"])
            self.assertGreaterEqual(int(span["startTimeUnixNano"]), int(request["startTimeUnixNano"]))
            self.assertLessEqual(int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]))
        failed = next(span for span in tries if "http.request.resend_count" not in attributes(span))
        self.assertEqual(attributes(failed)["error.type"], "upstream-connect-failed")
        self.assertEqual(attributes(failed)["server.port"], str(port))
        self.assertEqual(failed["status"]["code"], "STATUS_CODE_ERROR")
        answered = next(span for span in tries if "http.request.resend_count" in attributes(span))
        self.assertEqual(attributes(answered)["http.response.status_code"], "200")
        self.assertEqual(attributes(answered)["server.address"], "127.0.0.1")
        self.assertNotIn("status", answered)
        # The target's own span would be below the try that reached it.
        self.assertEqual(upstream.fields["traceparent"],
                         f"00-{TRACE}-{base64.b64decode(answered['spanId']).hex()}-01")

    def test_spans_that_a_collector_rejects_are_counted(self):
        programs = environment("otlp", "opentelemetry-proto==1.45.2")
        server = collector(self)
        server.answer = subprocess.run([f"{programs}/python", "-c", PARTIAL], capture_output=True, check=True).stdout
        _, url, admin = gateway(self, f'{{tracing: {{sample: 1, endpoint: "http://127.0.0.1:{server.server_port}"}}}}')
        for number in range(3):
            self.assertEqual(call(f"{url}/orders/{number}")[0], 200)

        def counted():
            text = call(f"{admin}/metrics")[2]
            counts = {line.split()[0]: int(line.split()[1]) for line in text.splitlines() if line.startswith("passerelle_gateway_spans_")}
            refused = counts['passerelle_gateway_spans_dropped_total{reason="refused"}']
            # One of each batch; two of each request.
            return refused == len(server.seen) - 1 and counts["passerelle_gateway_spans_sent_total"] + refused == 6

        eventually(counted, seconds=60)


class PrometheusTests(unittest.TestCase):
    def test_prometheus_scrapes_metrics_with_exemplars(self):
        binary = shutil.which("prometheus")
        if binary is None:
            self.skipTest("prometheus is not installed")
        _, url, admin = gateway(self, "{tracing: {sample: 1}}")
        for number in range(5):
            self.assertEqual(call(f"{url}/orders/{number}", fields={"traceparent": f"00-{TRACE}-{PARENT}-01"})[0], 200)
        plain = call(f"{admin}/metrics")
        self.assertEqual(plain[1]["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        place = folder(self)
        with open(f"{place}/p.yml", "w", encoding="utf-8") as file:
            file.write(f"""scrape_configs:
  - job_name: gateway
    scrape_interval: 200ms
    scrape_timeout: 200ms
    static_configs: [{{targets: ["{admin.removeprefix('http://')}"]}}]
""")
        port = free_base()
        process = spawn(
            [binary, f"--config.file={place}/p.yml", f"--storage.tsdb.path={place}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": place})
        self.addCleanup(end, process)
        base = f"http://127.0.0.1:{port}/api/v1"

        def ask(path, **query):
            try:
                answer = call(f"{base}/{path}?{urllib.parse.urlencode(query)}")
            except OSError:
                return []
            return json.loads(answer[2])["data"] if answer[0] == 200 else []

        def count():
            found = ask("query", query='passerelle_gateway_requests_total{class="2xx"}')
            return found and found["result"] and found["result"][0]["value"][1] == "5"

        def exemplars():
            now = time.time()
            found = ask("query_exemplars", query="passerelle_gateway_request_duration_seconds_bucket",
                        start=now - 3600, end=now + 3600)
            return found and found[0]["exemplars"][0]["labels"] == {"trace_id": TRACE}

        eventually(count, seconds=60)
        eventually(exemplars, seconds=60)
        self.assertEqual(ask("targets")["activeTargets"][0]["lastError"], "")


if __name__ == "__main__":
    unittest.main()
