import Gateway
import Redis

/// Idempotency keys and nonces in Redis: one key each, which goes by itself.
final class RedisClaims: ClaimStore {
    private let pipeline: RedisPipeline
    private static let triesMax: Int = 3

    init(_ pipeline: RedisPipeline) { self.pipeline = pipeline }

    /// Compares and changes in one step, which no plain command does.
    private static let replaceScript: [UInt8] = Array(
        "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) return 1 end return 0"
            .utf8)
    private static let removeScript: [UInt8] = Array(
        "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0".utf8)

    func claim(_ key: String, _ value: [UInt8], keptFor: Duration) async throws -> [UInt8]? {
        let name: [UInt8] = Self.name(key)
        // NX: nothing that is there is touched. Both in one round trip; what was there may end between the two: then once more.
        for _ in 0..<Self.triesMax {
            let replies: [RedisReply] = try await self.pipeline.send([
                [Self.word("SET"), name, value, Self.word("NX"), Self.word("PX"), Self.milliseconds(keptFor)],
                [Self.word("GET"), name],
            ])
            switch (replies[0], replies[1]) {
            case (.error(let reason), _), (_, .error(let reason)): throw RedisError.refused(reason)
            case (.text, _): return nil
            case (.null, .bytes(let known)): return known
            case (.null, .null): continue
            default: throw RedisError.protocolBroken("SET or GET answered something else")
            }
        }
        throw RedisError.protocolBroken("a key came and went")
    }

    func replace(_ key: String, _ old: [UInt8], with value: [UInt8], keptFor: Duration) async throws -> Bool {
        try await self.run(Self.replaceScript, key, [old, value, Self.milliseconds(keptFor)])
    }

    func remove(_ key: String, _ value: [UInt8]) async throws {
        _ = try await self.run(Self.removeScript, key, [value])
    }

    private func run(_ script: [UInt8], _ key: String, _ arguments: [[UInt8]]) async throws -> Bool {
        let replies: [RedisReply] = try await self.pipeline.send([
            [Self.word("EVAL"), script, Self.word("1"), Self.name(key)] + arguments
        ])
        switch replies[0] {
        case .integer(let changed): return changed == 1
        case .error(let reason): throw RedisError.refused(reason)
        default: throw RedisError.protocolBroken("EVAL answered no number")
        }
    }

    private static func word(_ text: String) -> [UInt8] { Array(text.utf8) }

    private static func name(_ key: String) -> [UInt8] { Array((RedisStores.prefix + key).utf8) }

    private static func milliseconds(_ duration: Duration) -> [UInt8] {
        Array(
            "\(max(1, duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000))"
                .utf8)
    }
}
