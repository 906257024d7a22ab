import Telemetry
import Testing
import Time

@Suite struct MetricRegistryTests {
    private func text(_ registry: MetricRegistry) -> String {
        String(decoding: registry.prometheusText(), as: UTF8.self)
    }

    @Test func placesMicrosecondsAsTheBoundsDo() {
        var values: [UInt32] = [0, 1, .max]
        for bound in Histogram.secondsDefault {
            let microseconds: UInt32 = UInt32((bound * 1_000_000).rounded())
            values += [microseconds - 1, microseconds, microseconds + 1]
        }
        for value in values {
            let histogram: Histogram = MetricRegistry().histogram("h", help: "")
            histogram.observe(Double(value) / 1_000_000)
            #expect(histogram.bucketCounts[Histogram.bucketDefault(microseconds: value)] == 1, "\(value)")
        }
    }

    @Test func writesFamiliesByNameWithHelpAndType() {
        let registry = MetricRegistry()
        registry.gauge("b_bytes", help: "Bytes\\ held,\nnow.").set(2.5)
        registry.counter("a_total", help: "Things.", labels: ["method": "GET", "status": "200"]).add(3)
        registry.counter("a_total", help: "Things.", labels: ["method": "PUT", "status": "500"]).add()
        #expect(
            self.text(registry) == """
                # HELP a_total Things.
                # TYPE a_total counter
                a_total{method="GET",status="200"} 3
                a_total{method="PUT",status="500"} 1
                # HELP b_bytes Bytes\\\\ held,\\nnow.
                # TYPE b_bytes gauge
                b_bytes 2.5

                """)
    }

    @Test func showsSeriesOfTenantsToThoseWhoMaySeeThem() {
        let registry = MetricRegistry()
        registry.counter("a_total", help: "A", labels: ["method": "GET"]).add()
        for tenant in ["acme", "globex"] {
            registry.counter("b_total", help: "B", labels: ["tenant": tenant, "api": "x"]).add()
            registry.histogram("c_seconds", help: "C", labels: ["tenant": tenant], bounds: [1]).observe(0.5)
        }
        registry.samples("d", kind: .gauge, help: "D") {
            [
                MetricSample(labels: ["tenant": "acme"], value: 1),
                MetricSample(labels: ["tenant": "globex"], value: 2),
                MetricSample(labels: [:], value: 3),
            ]
        }
        for format in MetricFormat.allCases {
            let all: String = String(decoding: registry.text(format), as: UTF8.self)
            #expect(all.contains("acme") && all.contains("globex"))
            let own: String = String(decoding: registry.text(format) { $0 == "acme" }, as: UTF8.self)
            #expect(own.contains("b_total{tenant=\"acme\",api=\"x\"} 1") && !own.contains("globex"))
            #expect(own.contains("d{tenant=\"acme\"} 1") && own.contains("d 3"))
            let none: String = String(decoding: registry.text(format) { _ in false }, as: UTF8.self)
            #expect(!none.contains("tenant=") && none.contains("a_total{method=\"GET\"} 1"))
        }
    }

    @Test func escapesLabelValues() {
        let registry = MetricRegistry()
        registry.counter("a_total", help: "A", labels: ["path": "a\"b\\c\nd é"]).add()
        #expect(self.text(registry).contains("a_total{path=\"a\\\"b\\\\c\\nd é\"} 1\n"))
    }

    @Test func cutsLongLabelValues() {
        let labels: MetricLabels = ["path": String(repeating: "é", count: 1000)]
        #expect(labels.text.utf8.count < MetricLabels.valueBytesMax + 20)
    }

    @Test func histogramsAreCumulative() {
        let registry = MetricRegistry()
        let histogram: Histogram = registry.histogram("t_seconds", help: "T", labels: ["api": "x"], bounds: [0.1, 1])
        for value in [0.05, 0.1, 0.5, 2, .nan] { histogram.observe(value) }
        histogram.merge(counts: [1, 0, 2], sum: 10)
        #expect(histogram.bucketCounts == [3, 1, 3])
        #expect(
            self.text(registry) == """
                # HELP t_seconds T
                # TYPE t_seconds histogram
                t_seconds_bucket{api="x",le="0.1"} 3
                t_seconds_bucket{api="x",le="1"} 4
                t_seconds_bucket{api="x",le="+Inf"} 7
                t_seconds_sum{api="x"} 12.65
                t_seconds_count{api="x"} 7

                """)
    }

    @Test func everyValueFallsIntoTheFirstBucketThatHoldsIt() {
        let registry = MetricRegistry()
        let bounds: [Double] = Histogram.secondsDefault
        for (index, bound) in bounds.enumerated() {
            let histogram: Histogram = registry.histogram("t\(index)_seconds", help: "T")
            histogram.observe(bound)
            histogram.observe(bound.nextUp)
            #expect(histogram.bucketCounts[index] == 1)
            #expect(histogram.bucketCounts[index + 1] == 1)
        }
    }

    @Test func theSameNameAndLabelsAreTheSameInstrument() {
        let registry = MetricRegistry()
        #expect(
            registry.counter("a_total", help: "A", labels: ["x": "1"])
                === registry.counter("a_total", help: "A", labels: ["x": "1"]))
        #expect(
            registry.counter("a_total", help: "A", labels: ["x": "1"])
                !== registry.counter("a_total", help: "A", labels: ["x": "2"]))
    }

    @Test func aFullFamilyCountsTheRestInOneSeries() {
        let registry = MetricRegistry(seriesMax: 3)
        for number in 0..<10 {
            registry.counter("a_total", help: "A", labels: ["x": "\(number)", "y": "z"]).add()
        }
        let text: String = self.text(registry)
        #expect(text.contains("a_total{x=\"2\",y=\"z\"} 1\n"))
        #expect(!text.contains("a_total{x=\"3\""))
        #expect(text.contains("a_total{x=\"overflow\",y=\"overflow\"} 7\n"))
    }

    @Test func aRemovedSeriesMakesRoom() {
        let registry = MetricRegistry(seriesMax: 2)
        for number in 0..<2 { registry.counter("a_total", help: "A", labels: ["x": "\(number)"]).add() }
        registry.remove("a_total", labels: ["x": "0"])
        registry.counter("a_total", help: "A", labels: ["x": "new"]).add(5)
        registry.counter("a_total", help: "A", labels: ["x": "1"]).add()
        let text: String = self.text(registry)
        #expect(!text.contains("x=\"0\""))
        #expect(text.contains("a_total{x=\"1\"} 2\n"))
        #expect(text.contains("a_total{x=\"new\"} 5\n"))
    }

    @Test func callbacksAreReadAtTheScrapeAndMayUseTheRegistry() {
        let registry = MetricRegistry(seriesMax: 2)
        // Weak, because the registry keeps its callbacks.
        registry.gauge("g", help: "G", labels: ["a": "b"]) { [weak registry] in
            registry?.counter("scrapes_total", help: "S").add()
            return .infinity
        }
        registry.samples("lag", kind: .gauge, help: "L") {
            (0..<5).map { MetricSample(labels: ["group": "g\($0)"], value: Double($0)) }
        }
        let text: String = self.text(registry)
        #expect(text.contains("g{a=\"b\"} +Inf\n"))
        #expect(text.contains("lag{group=\"g1\"} 1\n"))
        #expect(!text.contains("group=\"g2\""))
        #expect(self.text(registry).contains("scrapes_total 2\n") || self.text(registry).contains("scrapes_total 3\n"))
    }

    @Test func countersAddUpAcrossThreads() async {
        let registry = MetricRegistry()
        let counter: Counter = registry.counter("a_total", help: "A")
        let gauge: Gauge = registry.gauge("g", help: "G")
        let histogram: Histogram = registry.histogram("h_seconds", help: "H")
        await withTaskGroup(of: Void.self) { (group: inout TaskGroup<Void>) in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<10_000 {
                        counter.add()
                        gauge.add(0.5)
                        histogram.observe(1)
                    }
                }
            }
        }
        #expect(counter.value == 40_000)
        #expect(gauge.value == 20_000)
        #expect(histogram.sum == 40_000)
        #expect(histogram.bucketCounts.reduce(0, +) == 40_000)
    }

    @Test func theProcessTellsAboutItself() {
        let registry = MetricRegistry()
        ProcessMetrics.register(in: registry, clock: SystemClock())
        #expect(ProcessMetrics.residentBytes() > 1_000_000)
        let text: String = self.text(registry)
        for name in [
            "process_start_time_seconds", "process_resident_memory_bytes", "process_open_fds",
            "process_cpu_seconds_total",
        ] {
            #expect(text.contains("\n\(name) "))
        }
    }

    @Test func aNameUsedAsTwoKindsTraps() async {
        await #expect(processExitsWith: .failure) {
            let registry = MetricRegistry()
            _ = registry.gauge("a_total", help: "A")
            _ = registry.counter("a_total", help: "A")
        }
    }
}
