import Glibc
import TestKit
import Testing

@testable import Redis

/// Against a real server, which each test starts and ends.
struct RedisClientTests {
    /// `redis-server` on a free port, without files.
    private final class Server {
        let port: UInt16
        private var process: pid_t = 0

        init(_ arguments: [String] = [], port: UInt16? = nil) throws {
            self.port = port ?? FreePort.next()
            let all: [String] =
                ["redis-server", "--bind", "127.0.0.1", "--port", "\(self.port)", "--save", "", "--appendonly", "no"]
                + arguments
            var pointers: [UnsafeMutablePointer<CChar>?] = all.map { strdup($0) } + [nil]
            var actions: posix_spawn_file_actions_t = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
            posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
            let code: Int32 = posix_spawnp(&self.process, "redis-server", &actions, nil, &pointers, environ)
            posix_spawn_file_actions_destroy(&actions)
            for pointer in pointers { free(pointer) }
            try #require(code == 0, "redis-server does not start")
        }

        func stop() {
            if self.process == 0 { return }
            kill(self.process, SIGKILL)
            var status: Int32 = 0
            waitpid(self.process, &status, 0)
            self.process = 0
        }

        deinit { self.stop() }
    }

    private static func command(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }

    private static func client(_ port: UInt16, password: String? = nil, user: String = "") throws -> RedisClient {
        try RedisClient(
            try RedisLocation(parsing: "redis://\(user)127.0.0.1:\(port)/1"), password: password.map { Array($0.utf8) },
            limit: .seconds(20))
    }

    /// Waits until the server answers.
    private static func waitFor(_ client: RedisClient) async throws {
        try await eventually { (try? await client.send([Self.command("PING")])) == [.text("PONG")] }
    }

    @Test func sendsManyCommandsAtOnce() async throws {
        let server: Server = try Server()
        let client: RedisClient = try Self.client(server.port)
        try await Self.waitFor(client)
        var commands: [[[UInt8]]] = []
        for number in 0..<5000 { commands.append(Self.command("INCRBY", "key \(number % 10)", "2")) }
        let replies: [RedisReply] = try await client.send(commands)
        #expect(replies.count == 5000)
        #expect(replies.last == .integer(1000))
        #expect(try await client.send([Self.command("NONSENSE"), Self.command("GET", "none")]).last == .null)
    }

    @Test func callsOfManyGoTogetherAndEachGetsItsOwnReplies() async throws {
        let server: Server = try Server()
        let client: RedisClient = try Self.client(server.port)
        try await Self.waitFor(client)
        let pipeline: RedisPipeline = RedisPipeline(client)
        // More than may go together, and more than may wait for the client itself.
        let count: Int = RedisPipeline.callsMax * 3 + 7
        let wrong: Int = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<count {
                group.addTask {
                    let replies: [RedisReply] = try await pipeline.send([
                        Self.command("SET", "own \(number)", "\(number)"), Self.command("GET", "own \(number)"),
                    ])
                    return replies == [.text("OK"), .bytes(Array("\(number)".utf8))]
                }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 0 : 1 }
        }
        #expect(wrong == 0)
        server.stop()
        await #expect(throws: RedisError.self) { _ = try await pipeline.send([Self.command("PING")]) }
    }

    @Test func comesBackWithTheServer() async throws {
        let server: Server = try Server()
        let client: RedisClient = try Self.client(server.port)
        try await Self.waitFor(client)
        server.stop()
        await #expect(throws: RedisError.self) { try await client.send([Self.command("PING")]) }
        let next: Server = try Server(port: server.port)
        try await Self.waitFor(client)
        next.stop()
    }

    @Test func signsInAndSaysWhenItMayNot() async throws {
        let server: Server = try Server(["--requirepass", "s3cret"])
        let client: RedisClient = try Self.client(server.port, password: "s3cret")
        try await Self.waitFor(client)
        let wrong: RedisClient = try Self.client(server.port, password: "wrong")
        do {
            _ = try await wrong.send([Self.command("PING")])
            Issue.record("a wrong password was let in")
        } catch let error as RedisError {
            guard case .refused(let reason) = error else { throw error }
            #expect(!reason.contains("wrong") || reason.contains("WRONGPASS"))
        }
        let none: RedisClient = try Self.client(server.port)
        await #expect(throws: RedisError.self) { try await none.send([Self.command("PING")]) }
    }

    @Test func saysThatNothingListens() async throws {
        let client: RedisClient = try Self.client(FreePort.next())
        do {
            _ = try await client.send([Self.command("PING")])
            Issue.record("nobody answered, and yet")
        } catch let error as RedisError {
            #expect("\(error)".hasPrefix("Redis cannot be reached"), "\(error)")
        }
    }
}
