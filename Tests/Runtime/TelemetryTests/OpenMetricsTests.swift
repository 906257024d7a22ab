import Telemetry
import Testing

struct OpenMetricsTests {
    @Test func writesFamiliesWithTheirExemplarsAndAnEnd() {
        let registry: MetricRegistry = MetricRegistry()
        registry.counter("a_total", help: "All \"things\".", labels: ["method": "GET"]).add(3)
        registry.gauge("b_bytes", help: "Bytes.").set(2.5)
        let histogram: Histogram = registry.histogram("t_seconds", help: "T", labels: ["api": "x"], bounds: [0.5, 1])
        histogram.observe(0.1)
        let first: MetricExemplar = MetricExemplar(
            traceHigh: 0x0af7_6519_16cd_43dd, traceLow: 1, value: 0.75, time: 1_767_323_045.678)
        var second: MetricExemplar = first
        second.traceLow = 2
        histogram.observe(0.75, exemplar: first)
        histogram.observe(0.75, exemplar: second)
        histogram.observe(.nan, exemplar: first)
        #expect(histogram.exemplars == [nil, second, nil])
        #expect(
            String(decoding: registry.text(.openMetrics), as: UTF8.self) == """
                # TYPE a counter
                # HELP a All \\"things\\".
                a_total{method="GET"} 3
                # TYPE b_bytes gauge
                # HELP b_bytes Bytes.
                b_bytes 2.5
                # TYPE t_seconds histogram
                # HELP t_seconds T
                t_seconds_bucket{api="x",le="0.5"} 1
                t_seconds_bucket{api="x",le="1.0"} 3 # {trace_id="0af7651916cd43dd0000000000000002"} 0.75 1767323045.678
                t_seconds_bucket{api="x",le="+Inf"} 3
                t_seconds_sum{api="x"} 1.6
                t_seconds_count{api="x"} 3
                # EOF

                """)
    }

    @Test func thePlainFormatHasNoExemplars() {
        let registry: MetricRegistry = MetricRegistry()
        let histogram: Histogram = registry.histogram("t_seconds", help: "T", bounds: [1])
        histogram.observe(0.5, exemplar: MetricExemplar(traceHigh: 1, traceLow: 2, value: 0.5, time: 1))
        let text: String = String(decoding: registry.text(.prometheus), as: UTF8.self)
        #expect(text == String(decoding: registry.prometheusText(), as: UTF8.self))
        #expect(text.contains("t_seconds_bucket{le=\"1\"} 1\n"))
    }

    @Test func aCounterThatIsReadWithoutTheSuffixIsOfUnknownKind() {
        let registry: MetricRegistry = MetricRegistry()
        registry.samples("ticks", kind: .counter, help: "T") { [MetricSample(labels: [:], value: 1)] }
        #expect(
            String(decoding: registry.text(.openMetrics), as: UTF8.self)
                == "# TYPE ticks unknown\n# HELP ticks T\nticks 1\n# EOF\n")
    }

    @Test(
        arguments: [
            (nil, MetricFormat.prometheus),
            ("*/*", .prometheus),
            ("text/plain", .prometheus),
            ("application/openmetrics-text", .openMetrics),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", .openMetrics),
            ("Application/OpenMetrics-Text;version=\"1.0.0\"", .openMetrics),
            ("application/openmetrics-text;version=2.0.0", .prometheus),
            ("application/openmetrics-text;q=0", .prometheus),
            ("application/openmetrics-text;q=x", .prometheus),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.5", .prometheus),
            ("text/plain;q=0.5 , application/openmetrics-text;q=0.5", .openMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                .openMetrics
            ),
        ] as [(String?, MetricFormat)])
    func theFormatFollowsAccept(accept: String?, format: MetricFormat) {
        #expect(MetricFormat(accept: accept) == format)
    }
}
