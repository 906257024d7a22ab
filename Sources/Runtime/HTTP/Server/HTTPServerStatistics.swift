import Synchronization

/// Counters of one server since it started. Any thread.
package final class HTTPServerStatistics: Sendable {
    package let connectionsAccepted: SharedCount = SharedCount()
    /// Over the connection limit.
    package let connectionsRefused: SharedCount = SharedCount()
    package let connectionsOpen: SharedCount = SharedCount()
    /// Requests handed to the handler.
    package let requests: SharedCount = SharedCount()
    /// Requests answered by the server itself because they were malformed or over a limit.
    package let requestsRefused: SharedCount = SharedCount()
    package let timeouts: SharedCount = SharedCount()
    /// Requests whose client went away before the answer was out.
    package let requestsAbandoned: SharedCount = SharedCount()
    /// Responses that a handler made impossible to write.
    package let responsesInvalid: SharedCount = SharedCount()
    /// Most bytes of one body that waited for its handler.
    package let bodyBytesUnreadPeak: SharedCount = SharedCount()
    /// Most bytes of one streamed response that waited for its client.
    package let responseBytesUnsentPeak: SharedCount = SharedCount()

    init() {}
}

/// A number that many threads count up, read without stopping them.
package final class SharedCount: Sendable {
    private let value: Atomic<Int> = Atomic(0)

    init() {}

    package var current: Int { self.value.load(ordering: .relaxed) }

    func add(_ amount: Int = 1) { self.value.wrappingAdd(amount, ordering: .relaxed) }

    func raise(to floor: Int) { self.value.max(floor, ordering: .relaxed) }
}
