import Synchronization

@testable import Gateway

/// Claims in memory, for gateways of one test; refuses while it is away. Nothing ends by itself.
final class MemoryClaims: ClaimStore {
    struct Away: Error {}

    private let values: Mutex<[String: [UInt8]]> = Mutex([:])
    let isAway: Mutex<Bool> = Mutex(false)
    private let settled: Mutex<Int> = Mutex(0)

    var keys: [String] { self.values.withLock { Array($0.keys) } }
    /// How often a value became another one.
    var settledCount: Int { self.settled.withLock { $0 } }
    var stored: [[UInt8]] { self.values.withLock { Array($0.values) } }

    func claim(_ key: String, _ value: [UInt8], keptFor: Duration) async throws -> [UInt8]? {
        if self.isAway.withLock({ $0 }) { throw Away() }
        return self.values.withLock { values in
            if let known: [UInt8] = values[key] { return known }
            values[key] = value
            return nil
        }
    }

    func replace(_ key: String, _ old: [UInt8], with value: [UInt8], keptFor: Duration) async throws -> Bool {
        if self.isAway.withLock({ $0 }) { throw Away() }
        let isDone: Bool = self.values.withLock { values in
            guard values[key] == old else { return false }
            values[key] = value
            return true
        }
        if isDone, value != old { self.settled.withLock { $0 += 1 } }
        return isDone
    }

    func remove(_ key: String, _ value: [UInt8]) async throws {
        if self.isAway.withLock({ $0 }) { throw Away() }
        self.values.withLock { if $0[key] == value { $0[key] = nil } }
    }
}
