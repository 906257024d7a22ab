import GatewayConfiguration
import Synchronization

/// Where copies of an upstream's requests go. Made once for each version of its definition.
final class MirrorPlan: Sendable {
    let definition: MirrorDefinition
    let tls: UpstreamTLS
    let counts: MirrorCounts
    let hostLine: [UInt8]
    let basePath: [UInt8]
    let timeout: UInt64

    init(_ definition: MirrorDefinition, tls: UpstreamTLS, counts: MirrorCounts) {
        self.definition = definition
        self.tls = tls
        self.counts = counts
        let url: TargetURL = definition.url
        let isDefaultPort: Bool = url.port == (url.scheme == .http ? 80 : 443)
        self.hostLine = Array("Host: \(isDefaultPort ? url.host : "\(url.host):\(url.port)")\r\n".utf8)
        self.basePath = Array(url.basePath.utf8)
        self.timeout = definition.timeout.nanoseconds
    }

    /// What says where it is.
    var place: TargetDefinitionPlace { TargetDefinitionPlace(self.definition.url, service: nil) }

    /// Takes one of the places of copies on their way; false when all are taken.
    func takePlace() -> Bool {
        let taken: Int = self.counts.inFlight.wrappingAdd(1, ordering: .relaxed).newValue
        if taken <= self.definition.copiesMax { return true }
        self.counts.inFlight.wrappingSubtract(1, ordering: .relaxed)
        self.counts.refused.wrappingAdd(1, ordering: .relaxed)
        return false
    }
}

/// Copies of one upstream's requests by what became of them. All loops share it; kept across snapshots.
final class MirrorCounts: Sendable {
    let inFlight: Atomic<Int> = Atomic(0)
    /// Answered, with whatever status.
    let answered: Atomic<UInt64> = Atomic(0)
    let failed: Atomic<UInt64> = Atomic(0)
    /// Not made: too many were on their way.
    let refused: Atomic<UInt64> = Atomic(0)
    /// Not made: the request was too long, or did not come to its end.
    let unfit: Atomic<UInt64> = Atomic(0)
}
