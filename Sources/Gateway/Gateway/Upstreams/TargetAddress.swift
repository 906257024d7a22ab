import EventLoops
import GatewayConfiguration
import Synchronization

/// Where a target's host is now: one address for a literal, several for a name. Written by the resolver, read when a
/// connection is made.
final class TargetAddress: Sendable {
    let host: String
    let port: UInt16
    private let known: Mutex<[SocketAddress]>
    private let cursor: Atomic<Int> = Atomic(0)

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
        let bare: Substring = host.hasPrefix("[") ? host.dropFirst().dropLast() : host[...]
        let literal: SocketAddress? = SocketAddress(host: bare, port: port)
        self.isLiteral = literal != nil
        self.known = Mutex(literal.map { [$0] } ?? [])
    }

    let isLiteral: Bool

    /// The next address in turn; nil while the name has none.
    func next() -> SocketAddress? {
        let turn: Int = self.cursor.wrappingAdd(1, ordering: .relaxed).oldValue
        return self.known.withLock { (addresses: inout [SocketAddress]) -> SocketAddress? in
            addresses.isEmpty ? nil : addresses[Int(UInt(bitPattern: turn) % UInt(addresses.count))]
        }
    }

    var isKnown: Bool { self.known.withLock { !$0.isEmpty } }

    /// Keeps the addresses known before when a look-up found none.
    func update(_ addresses: [SocketAddress]) {
        if addresses.isEmpty { return }
        self.known.withLock { $0 = addresses }
    }
}
