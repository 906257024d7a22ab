import CLinux
import CPostgres
import Glibc

/// The same records in the same batches into the log, Redis Streams and a table of PostgreSQL: real servers on the same disk, each
/// with one sync before an answer counts. They take turns of a few batches, so that a busy disk is busy for all.
enum PeerBench {
    /// Batches before the next one's turn.
    private static let turnBatches: Int = 20
    private static let warmUpTurns: Int = 2

    private struct Contestant {
        let name: String
        let append: () async throws -> Void
        /// What the log promises to be faster than.
        var promise: Verdicts.Promise?
        var latencies: [UInt64] = []
        var nanoseconds: UInt64 = 0

        var eventsPerSecond: Double {
            Double(self.latencies.count * AppendBench.batchEvents) / (Double(self.nanoseconds) / 1e9)
        }

        init(_ name: String, _ promise: Verdicts.Promise? = nil, append: @escaping () async throws -> Void) {
            self.name = name
            self.promise = promise
            self.append = append
        }
    }

    static func run(_ options: BenchOptions) async throws {
        let bench: BenchLog = try await BenchLog(options, "peers")
        var number: Int = 0
        var contestants: [Contestant] = [
            Contestant("the log (SQLite)") {
                try await AppendBench.append(bench, "single", number, AppendBench.raw)
                number += AppendBench.batchEvents
            }
        ]
        if let port: UInt16 = options.redisPort { contestants.append(try self.redis(port)) }
        if let url: String = options.postgresURL { contestants.append(try self.postgres(url)) }
        let turns: Int = options.events / AppendBench.batchEvents / self.turnBatches
        for turn: Int in 0..<(turns + self.warmUpTurns) {
            for index: Int in contestants.indices {
                try await self.takeTurn(&contestants[index], counts: turn >= self.warmUpTurns)
            }
        }
        for contestant: Contestant in contestants {
            Table.line(
                "by turns, 500 × 400 bytes: \(contestant.name)", perSecond: contestant.eventsPerSecond,
                latencies: contestant.latencies, cpuMicroseconds: nil)
            guard let promise: Verdicts.Promise = contestant.promise else { continue }
            let (own, other): (Double, Double) = (contestants[0].eventsPerSecond, contestant.eventsPerSecond)
            options.verdicts.note(
                promise, "\(Table.grouped(own))/s against \(Table.grouped(other))/s", share: other / own)
        }
        await bench.remove()
    }

    private static func takeTurn(_ contestant: inout Contestant, counts: Bool) async throws {
        for _ in 0..<self.turnBatches {
            let start: UInt64 = clinux_monotonic_nanoseconds()
            try await contestant.append()
            let time: UInt64 = clinux_monotonic_nanoseconds() - start
            if !counts { continue }
            contestant.latencies.append(time)
            contestant.nanoseconds += time
        }
    }

    private static let key: String = "api_000000000000"
    private static let value: [UInt8] = Array(repeating: UInt8(ascii: "x"), count: AppendBench.eventBytes - 16)

    /// A batch is one pipeline of XADD; with `appendfsync always` Redis syncs before it answers.
    private static func redis(_ port: UInt16) throws -> Contestant {
        let connection: RedisConnection = try RedisConnection(port: port)
        for (name, expected): (String, String) in [("appendonly", "yes"), ("appendfsync", "always")] {
            let answer: String = try connection.ask("CONFIG GET \(name)\r\n", until: expected)
            guard answer.contains(expected) else { throw PeerError("Redis: \(name) is not \(expected)") }
        }
        var batch: [UInt8] = []
        for _ in 0..<AppendBench.batchEvents {
            batch += Array("*7\r\n$4\r\nXADD\r\n$6\r\nevents\r\n$1\r\n*\r\n$1\r\nk\r\n$16\r\n\(self.key)\r\n".utf8)
            batch += Array("$1\r\nv\r\n$\(self.value.count)\r\n".utf8) + self.value + [13, 10]
        }
        let pipeline: [UInt8] = batch
        return Contestant("Redis Streams, one pipeline", .redis) {
            try connection.send(pipeline)
            // Each answer is two lines.
            try connection.readLines(2 * AppendBench.batchEvents)
        }
    }

    /// A batch is one INSERT of 500 rows in a transaction of its own.
    private static func postgres(_ url: String) throws -> Contestant {
        let connection: PostgresPeer = try PostgresPeer(url)
        for name: String in ["fsync", "synchronous_commit", "full_page_writes"] {
            guard try connection.value("SHOW \(name)") == "on" else { throw PeerError("PostgreSQL: \(name) is off") }
        }
        try connection.run("DROP TABLE IF EXISTS peer; CREATE TABLE peer (id bigserial PRIMARY KEY, k text, v bytea)")
        try connection.prepare(rows: AppendBench.batchEvents, key: self.key, value: self.value)
        return Contestant("PostgreSQL, one INSERT of 500 rows", .postgres) { try connection.insert() }
    }
}

struct PeerError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A blocking connection to Redis.
private final class RedisConnection {
    private let socket: Int32
    private var buffer: [UInt8] = [UInt8](repeating: 0, count: 65_536)

    init(port: UInt16) throws {
        self.socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address: sockaddr_in = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let socket: Int32 = self.socket
        let result: Int32 = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw PeerError("Redis does not answer on port \(port)") }
    }

    deinit { close(self.socket) }

    func send(_ bytes: [UInt8]) throws {
        var sent: Int = 0
        while sent < bytes.count {
            let count: Int = bytes[sent...].withUnsafeBytes { Glibc.send(self.socket, $0.baseAddress, $0.count, 0) }
            guard count > 0 else { throw PeerError("Redis closed the connection") }
            sent += count
        }
    }

    func readLines(_ expected: Int) throws {
        var lines: Int = 0
        while lines < expected {
            let count: Int = recv(self.socket, &self.buffer, self.buffer.count, 0)
            guard count > 0 else { throw PeerError("Redis closed the connection") }
            for byte: UInt8 in self.buffer[..<count] {
                if byte == 10 { lines += 1 }
                if byte == UInt8(ascii: "-"), lines == 0 {
                    // An id has dashes too, but never in the first line.
                    throw PeerError("Redis: \(String(decoding: self.buffer[..<count], as: UTF8.self))")
                }
            }
        }
    }

    /// The answer up to the line with the value.
    func ask(_ command: String, until expected: String) throws -> String {
        try self.send(Array(command.utf8))
        let count: Int = recv(self.socket, &self.buffer, self.buffer.count, 0)
        return String(decoding: self.buffer[..<max(0, count)], as: UTF8.self)
    }
}

/// A connection to PostgreSQL with one prepared INSERT of many rows.
final class PostgresPeer {
    private let handle: OpaquePointer?
    private var values: [UnsafePointer<CChar>?] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []
    private let bytes: UnsafeMutablePointer<CChar>

    init(_ url: String) throws {
        self.handle = PQconnectdb(url)
        self.bytes = .allocate(capacity: 4096)
        guard PQstatus(self.handle) == CONNECTION_OK else { throw PeerError("PostgreSQL does not answer at \(url)") }
        PQsetNoticeReceiver(self.handle, { _, _ in }, nil)
    }

    deinit {
        PQfinish(self.handle)
        self.bytes.deallocate()
    }

    /// Makes a new, empty database on the server of `url` and returns its address.
    static func freshDatabase(at url: String) throws -> String {
        let peer: PostgresPeer = try PostgresPeer(url)
        let name: String = "logbench_\(clinux_monotonic_nanoseconds())"
        try peer.run("CREATE DATABASE \(name)")
        guard let slash: String.Index = url.lastIndex(of: "/") else {
            throw PeerError("expected postgresql://…/DATABASE")
        }
        return String(url[...slash]) + name
    }

    func run(_ sql: String) throws { PQclear(try self.checked(PQexec(self.handle, sql))) }

    func value(_ sql: String) throws -> String {
        let result: OpaquePointer? = try self.checked(PQexec(self.handle, sql))
        defer { PQclear(result) }
        return String(cString: PQgetvalue(result, 0, 0))
    }

    func prepare(rows: Int, key: String, value: [UInt8]) throws {
        let content: [UInt8] = Array(key.utf8) + value
        for (index, byte): (Int, UInt8) in content.enumerated() { self.bytes[index] = CChar(bitPattern: byte) }
        var places: [String] = []
        for row: Int in 0..<rows {
            places.append("($\(2 * row + 1), $\(2 * row + 2))")
            self.values += [UnsafePointer(self.bytes), UnsafePointer(self.bytes + key.utf8.count)]
            self.lengths += [Int32(key.utf8.count), Int32(value.count)]
            self.formats += [1, 1]
        }
        let sql: String = "INSERT INTO peer (k, v) VALUES \(places.joined(separator: ", "))"
        PQclear(try self.checked(PQprepare(self.handle, "peer", sql, 0, nil)))
    }

    func insert() throws {
        PQclear(
            try self.checked(
                PQexecPrepared(
                    self.handle, "peer", Int32(self.values.count), self.values, self.lengths, self.formats, 1)))
    }

    private func checked(_ result: OpaquePointer?) throws -> OpaquePointer? {
        let status: ExecStatusType = PQresultStatus(result)
        guard status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK else {
            PQclear(result)
            throw PeerError("PostgreSQL: \(String(cString: PQerrorMessage(self.handle)))")
        }
        return result
    }
}
