package import GatewayConfiguration

/// A gateway's way to its control plane: in the process by direct call, apart over HTTP. One protocol for both. As a store of
/// counts it keeps quotas.
package protocol GatewayLink: CounterStore {
    /// The snapshot as soon as it is newer than what the gateway runs, or `unchanged` after `wait` or when gateways come.
    func pull(since version: Int64, hash: String, wait: Duration) async throws -> LinkPull
    /// Says what the gateway runs now.
    func acknowledge(_ acknowledgement: LinkAcknowledgement) async throws
    /// What stored responses are to be forgotten since a number, as soon as there is something or after `wait`; without a number
    /// only the latest one is told.
    func purges(since number: Int64?, wait: Duration) async throws -> PurgeFeed
    /// Hands over traffic that was carried. A batch that was not taken is sent again under its number.
    func report(_ batch: TrafficBatch) async throws
}

/// What a pull brings.
package struct LinkPull: Sendable {
    package let answer: LinkAnswer
    /// Gateways of the group that are live, this one included: they divide limits.
    package let liveGateways: Int

    package init(_ answer: LinkAnswer, liveGateways: Int) {
        self.answer = answer
        self.liveGateways = liveGateways
    }
}

/// The snapshot, as far as it is news.
package enum LinkAnswer: Sendable {
    case unchanged
    case document(HashedDocument)
    /// A whole document or a change to the one the gateway has, as JSON.
    case bytes([UInt8])
}

/// What a gateway runs, and what of it could not be compiled.
package struct LinkAcknowledgement: Sendable, Equatable {
    package struct Quarantined: Sendable, Equatable {
        /// The entry's key, `tenant/id`.
        package let entry: String
        package let reason: String

        package init(entry: String, reason: String) {
            self.entry = entry
            self.reason = reason
        }
    }

    package let version: Int64
    package let hash: String
    package let quarantined: [Quarantined]

    package init(version: Int64, hash: String, quarantined: [Quarantined]) {
        self.version = version
        self.hash = hash
        self.quarantined = quarantined
    }
}

/// Traffic of a short span, summed.
package struct TrafficBatch: Sendable {
    package struct Line: Sendable, Hashable {
        package let tenant: String
        /// The snapshot entry's id: product and environment.
        package let api: String
        package let route: String
        /// Empty for callers without an application.
        package let application: String
        /// Start of the minute, milliseconds since 1970.
        package let minute: Int64
        /// 1 to 5.
        package let statusClass: Int
    }

    package struct Sums: Sendable, BitwiseCopyable {
        package var requests: Int64 = 0
        package var durationMicroseconds: Int64 = 0
        package var durationMicrosecondsMax: Int64 = 0
        package var bytesIn: Int64 = 0
        package var bytesOut: Int64 = 0
    }

    /// Counts up; a control plane that has seen it ignores the batch.
    package let sequence: Int64
    package let lines: [(line: Line, sums: Sums)]
}
