import EventLoops
import Synchronization
package import TLS

/// A client of one server: commands in one round trip, on one connection, by a thread of its own.
///
/// A connection that failed is made anew with the next call; nothing is sent twice by itself.
package final class RedisClient: @unchecked Sendable {
    // Sendable by this rule: `connection` is touched on the thread of `worker` only.

    /// How long a connection, and then an answer, may take.
    package static let limitDefault: Duration = .seconds(1)
    /// Calls that wait for the one under way; the next one is refused.
    package static let waitingMax: Int = 64

    private let location: RedisLocation
    private let password: [UInt8]?
    private let tls: TLSContext?
    private let limit: Duration
    private let worker: EventLoop
    private let waiting: Atomic<Int> = Atomic(0)
    private var connection: RedisConnection?

    /// - Parameter tls: for `rediss://`; the authorities of the machine when nil.
    package init(
        _ location: RedisLocation, password: [UInt8]?, tls: TLSContext? = nil, limit: Duration = limitDefault
    ) throws(TLSError) {
        self.location = location
        self.password = password
        if location.isEncrypted, tls == nil {
            self.tls = try TLSContext.client(TLSClientConfiguration())
        } else {
            self.tls = tls
        }
        self.limit = limit
        self.worker = EventLoop.start(name: "redis")
    }

    deinit { self.worker.stop() }

    /// Sends commands, each a list of arguments, and returns their replies in order. An error reply is a reply.
    package func send(_ commands: [[[UInt8]]]) async throws -> [RedisReply] {
        if commands.isEmpty { return [] }
        guard self.waiting.wrappingAdd(1, ordering: .relaxed).newValue <= Self.waitingMax else {
            self.waiting.wrappingSubtract(1, ordering: .relaxed)
            throw RedisError.unavailable("\(Self.waitingMax) calls wait already")
        }
        defer { self.waiting.wrappingSubtract(1, ordering: .relaxed) }
        return try await withCheckedThrowingContinuation { caller in
            self.worker.execute { caller.resume(with: Result { try self.sendNow(commands) }) }
        }
    }

    private func sendNow(_ commands: [[[UInt8]]]) throws(RedisError) -> [RedisReply] {
        do throws(RedisError) {
            let open: RedisConnection
            if let connection: RedisConnection = self.connection {
                open = connection
            } else {
                open = try RedisConnection(self.location, password: self.password, tls: self.tls, limit: self.limit)
                self.connection = open
            }
            return try open.send(commands)
        } catch {
            // What comes late must not be taken for the answer to something else.
            self.connection = nil
            throw error
        }
    }
}
