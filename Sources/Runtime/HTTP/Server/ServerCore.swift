import EventLoops
import Synchronization
import TLS

/// What all loops of one server share.
final class ServerCore: Sendable {
    enum Admission: Equatable {
        case admitted
        /// Gets a 503.
        case refused
        /// Closed without a word.
        case dropped
    }

    private struct Census {
        var open: Int = 0
        /// By network: those that are open.
        var networks: [SocketAddress: Int] = [:]
        var refusals: Int = 0
        /// Resumed when nothing is open any more.
        var waiting: CheckedContinuation<Void, Never>?
    }

    let configuration: HTTPServerConfiguration
    let handler: @Sendable (HTTPRequest) async -> HTTPResponse
    let statistics: HTTPServerStatistics = HTTPServerStatistics()
    /// What connections that come from now on speak; nil: they are in the clear. Taken once a connection.
    let tls: Mutex<TLSContext?>
    /// Taken once a connection, not once a request.
    private let census: Mutex<Census> = Mutex(Census())

    init(configuration: HTTPServerConfiguration, handler: @escaping @Sendable (HTTPRequest) async -> HTTPResponse) {
        self.configuration = configuration
        self.handler = handler
        self.tls = Mutex(configuration.tls)
    }

    func admit(_ address: SocketAddress) -> Admission {
        let limits: HTTPServerLimits = self.configuration.limits
        let network: SocketAddress = address.network
        let admission: Admission = self.census.withLock { (census: inout Census) -> Admission in
            let ofNetwork: Int = census.networks[network, default: 0]
            let isFair: Bool = census.open < limits.connectionsMax / 2 || ofNetwork < limits.connectionsPerAddressMax
            if census.open < limits.connectionsMax, isFair {
                census.open += 1
                census.networks[network] = ofNetwork + 1
                return .admitted
            }
            if census.refusals >= limits.refusalsMax { return .dropped }
            census.refusals += 1
            return .refused
        }
        let statistics: HTTPServerStatistics = self.statistics
        switch admission {
        case .admitted:
            statistics.connectionsAccepted.add()
            statistics.connectionsOpen.add()
        case .refused, .dropped: statistics.connectionsRefused.add()
        }
        return admission
    }

    func connectionClosed(_ address: SocketAddress, wasRefusal: Bool) {
        let network: SocketAddress = address.network
        let waiting: CheckedContinuation<Void, Never>? = self.census.withLock { (census: inout Census) in
            if wasRefusal {
                census.refusals -= 1
            } else {
                census.open -= 1
                let left: Int = census.networks[network, default: 1] - 1
                census.networks[network] = left == 0 ? nil : left
            }
            return census.open + census.refusals == 0 ? census.waiting.take() : nil
        }
        if !wasRefusal { self.statistics.connectionsOpen.add(-1) }
        waiting?.resume()
    }

    /// Returns when no connection is open. One waiter at a time; the caller makes sure of it.
    func waitUntilEmpty() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isEmpty: Bool = self.census.withLock { (census: inout Census) -> Bool in
                if census.open + census.refusals == 0 { return true }
                census.waiting = continuation
                return false
            }
            if isEmpty { continuation.resume() }
        }
    }
}
