import Synchronization
import Telemetry

/// What came of checking the messages of one API. Any thread.
final class ValidationCounts: Sendable {
    enum Message: Int, CaseIterable {
        case request = 0
        case response = 1
    }

    enum Result: Int, CaseIterable {
        case valid = 0
        case invalid = 1
        /// It was too long to be looked at.
        case unchecked = 2
    }

    private let cells: [Cell] = (0..<Message.allCases.count * Result.allCases.count).map { _ in Cell() }

    private final class Cell: Sendable {
        let value: Atomic<UInt64> = Atomic(0)
    }

    func count(_ message: Message, _ result: Result) {
        self.cell(message, result).value.wrappingAdd(1, ordering: .relaxed)
    }

    func value(_ message: Message, _ result: Result) -> UInt64 {
        self.cell(message, result).value.load(ordering: .relaxed)
    }

    private func cell(_ message: Message, _ result: Result) -> Cell {
        self.cells[message.rawValue * Result.allCases.count + result.rawValue]
    }
}

/// The counts of all APIs that have the policy, by `tenant/api`. They stay when an API goes: counters only grow.
final class ValidationCounters: Sendable {
    private let counts: Mutex<[String: ValidationCounts]> = Mutex([:])

    /// APIs counted apart at most; all others share one.
    private static let apisMax: Int = 1000

    func counts(of key: String) -> ValidationCounts {
        self.counts.withLock { (counts: inout [String: ValidationCounts]) -> ValidationCounts in
            if let known: ValidationCounts = counts[key] { return known }
            let place: String = counts.count < Self.apisMax ? key : "others"
            if let known: ValidationCounts = counts[place] { return known }
            let made: ValidationCounts = ValidationCounts()
            counts[place] = made
            return made
        }
    }

    /// Shows the counts; read when metrics are scraped.
    func publish(in registry: MetricRegistry) {
        registry.samples(
            "passerelle_gateway_validation_total", kind: .counter,
            help: "Messages checked by an OpenAPI document, by API, message and result."
        ) {
            var samples: [MetricSample] = []
            for (api, counts) in self.counts.withLock({ $0 }) {
                for message in ValidationCounts.Message.allCases {
                    for result in ValidationCounts.Result.allCases {
                        let count: UInt64 = counts.value(message, result)
                        if count == 0 { continue }
                        let labels: MetricLabels = ["api": api, "message": "\(message)", "result": "\(result)"]
                        samples.append(MetricSample(labels: labels, value: Double(count)))
                    }
                }
            }
            return samples
        }
    }
}
