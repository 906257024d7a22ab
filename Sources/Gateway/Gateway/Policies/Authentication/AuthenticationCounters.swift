import Synchronization
import Telemetry

/// Counts of authentication: each method by what came of it, and calls to issuers. Any thread.
final class AuthenticationCounters: Sendable {
    /// What came of one method on one request. The raw values are places.
    enum Result: Int, CaseIterable {
        case accepted = 0
        case acceptedFromCache = 1
        case malformed = 2
        case unknownCredential = 3
        case expired = 4
        case badSignature = 5
        case notAccepted = 6
        case keysUnavailable = 7
        case unavailable = 8
        case replayed = 9

        var name: String {
            switch self {
            case .accepted: return "accepted"
            case .acceptedFromCache: return "accepted_from_cache"
            case .malformed: return "malformed"
            case .unknownCredential: return "unknown"
            case .expired: return "expired"
            case .badSignature: return "bad_signature"
            case .notAccepted: return "not_accepted"
            case .keysUnavailable: return "keys_unavailable"
            case .unavailable: return "unavailable"
            case .replayed: return "replayed"
            }
        }
    }

    private final class Cell: Sendable {
        let value: Atomic<UInt64> = Atomic(0)
    }

    private let cells: [Cell]
    private let fetched: Atomic<UInt64> = Atomic(0)
    private let failed: Atomic<UInt64> = Atomic(0)

    init() {
        self.cells = (0..<AuthenticationMethod.allCases.count * Result.allCases.count).map { _ in Cell() }
    }

    func count(_ method: AuthenticationMethod, _ result: Result) {
        self.cells[method.rawValue * Result.allCases.count + result.rawValue].value.wrappingAdd(1, ordering: .relaxed)
    }

    func value(_ method: AuthenticationMethod, _ result: Result) -> UInt64 {
        self.cells[method.rawValue * Result.allCases.count + result.rawValue].value.load(ordering: .relaxed)
    }

    func count(keysFetched: Bool) {
        if keysFetched {
            self.fetched.wrappingAdd(1, ordering: .relaxed)
        } else {
            self.failed.wrappingAdd(1, ordering: .relaxed)
        }
    }

    var keysFetched: UInt64 { self.fetched.load(ordering: .relaxed) }
    var keysFailed: UInt64 { self.failed.load(ordering: .relaxed) }
}

extension AuthenticationCounters {
    /// Shows the counts; read when metrics are scraped.
    func publish(in registry: MetricRegistry) {
        registry.samples(
            "passerelle_gateway_authentication_total", kind: .counter,
            help: "Credentials looked at, by method and by what came of it."
        ) {
            var samples: [MetricSample] = []
            for method in AuthenticationMethod.allCases {
                for result in AuthenticationCounters.Result.allCases {
                    let count: UInt64 = self.value(method, result)
                    if count == 0 { continue }
                    samples.append(
                        MetricSample(labels: ["method": method.name, "result": result.name], value: Double(count)))
                }
            }
            return samples
        }
        registry.samples(
            "passerelle_gateway_issuer_key_calls_total", kind: .counter, help: "Calls for issuers' keys."
        ) {
            [
                MetricSample(labels: ["result": "fetched"], value: Double(self.keysFetched)),
                MetricSample(labels: ["result": "failed"], value: Double(self.keysFailed)),
            ]
        }
    }
}
