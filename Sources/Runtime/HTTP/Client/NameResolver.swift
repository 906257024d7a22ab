package import EventLoops

/// What a resolver found.
package enum Resolution: Sendable, Equatable {
    case addresses([SocketAddress])
    /// In the resolver's words.
    case failed(String)
}

/// Finds the addresses of a host without blocking the caller.
package protocol NameResolver: Sendable {
    /// Calls `completion` once, on any thread. False, without a call, when too many are waiting.
    func resolve(host: String, port: UInt16, completion: @escaping @Sendable (Resolution) -> Void) -> Bool
}
