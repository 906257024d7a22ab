import Synchronization
package import Time

/// Where gateways keep counts together: a file of one gateway, the control plane, or Redis. The composition root gives it.
package protocol CounterStore: Sendable {
    /// Adds to counts and returns what each is then, in the same order. A change of 0 asks only.
    ///
    /// All or nothing is not needed: a call that fails is repeated with the same amounts, so counts may run ahead by them.
    func add(_ changes: [CounterChange]) async throws -> [Int64]
}

/// Requests counted since the last exchange.
package struct CounterChange: Sendable, Equatable {
    /// Names the limit and its subject; begins with the tenant. The same on every gateway.
    package let key: String
    /// The number of the window they belong to.
    package let window: UInt64
    /// When the window ends: later nobody asks for the count.
    package let ends: Timestamp
    package let amount: Int64

    package init(key: String, window: UInt64, ends: Timestamp, amount: Int64) {
        self.key = key
        self.window = window
        self.ends = ends
        self.amount = amount
    }

    /// Bytes of a key at most.
    package static let keyBytesMax: Int = 1024
    /// Changes of one call at most.
    package static let countMax: Int = 1000
}

/// What kind of count is exchanged.
enum CounterSharing: Sendable {
    /// Kept over restarts, exchanged about once a second.
    case quota
    /// Through the shared counters of rate limits, several times a second.
    case limit
}

/// A count that several gateways add to. What it needs beside its words.
final class SharedCounter: Sendable {
    /// What the store said last.
    struct Known: Sendable {
        var window: UInt64
        var total: Int64
        var asked: Timestamp
        /// When this gateway last added something.
        var used: Timestamp
    }

    let key: String
    let sharing: CounterSharing
    let rule: LimitRule
    let known: Mutex<Known?> = Mutex(nil)

    init(key: String, sharing: CounterSharing, rule: LimitRule) {
        self.key = key
        self.sharing = sharing
        self.rule = rule
    }
}
