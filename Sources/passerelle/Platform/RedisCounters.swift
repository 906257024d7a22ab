import Gateway
import Redis
import Time

/// Shared counts in Redis: one key a count and window, which goes some time after its window has ended.
final class RedisCounters: CounterStore {
    /// How long a key outlives its window: clocks of gateways may lie apart.
    private static let keptMilliseconds: Int64 = 60_000

    private let client: RedisClient

    init(_ client: RedisClient) { self.client = client }

    func add(_ changes: [CounterChange]) async throws -> [Int64] {
        var commands: [[[UInt8]]] = []
        for change in changes {
            let key: [UInt8] = Array("\(RedisStores.prefix)\(change.key):\(change.window)".utf8)
            commands.append([Array("INCRBY".utf8), key, Array("\(change.amount)".utf8)])
            let ends: Int64 = change.ends.milliseconds + Self.keptMilliseconds
            commands.append([Array("PEXPIREAT".utf8), key, Array("\(ends)".utf8)])
        }
        let replies: [RedisReply] = try await self.client.send(commands)
        var totals: [Int64] = []
        for index in stride(from: 0, to: replies.count, by: 2) {
            switch replies[index] {
            case .integer(let total): totals.append(total)
            case .error(let reason): throw RedisError.refused(reason)
            default: throw RedisError.protocolBroken("INCRBY answered no number")
            }
        }
        return totals
    }
}
