import CLinux
import EventLog
import Glibc
import Store
import Synchronization

/// How long the events of a process that was killed wait for another one. On PostgreSQL, since only there several share the log.
///
/// The one that dies is another process of this program: it has the sequencer's lease and half of the partitions. It is killed
/// with SIGKILL, one event is published to each partition, and the time counts until the last of them was handled.
enum MoveBench {
    private static let rounds: Int = 10
    private static let partitions: Int = 6
    private static let topic: String = "events"
    private static let group: String = "move"
    /// Ten thousand looks a millisecond apart: a machine that needs longer has other troubles.
    private static let looksMax: Int = 10_000

    static func run(_ options: BenchOptions) async throws {
        guard let url: String = options.postgresURL else { return }
        var whole: [UInt64] = []
        var owned: [UInt64] = []
        for _ in 0..<self.rounds {
            let (handled, claimed): (UInt64, UInt64) = try await self.round(options, url)
            whole.append(handled)
            owned.append(claimed)
        }
        Table.line("killed process: its partitions claimed", perSecond: nil, latencies: owned, cpuMicroseconds: nil)
        Table.line(
            "killed process: events of all partitions handled", perSecond: nil, latencies: whole, cpuMicroseconds: nil)
        let worst: Double = Double(whole.max() ?? 0) / 1e9
        let half: Double = Table.milliseconds(owned, share: 0.5) / 1000
        options.verdicts.note(
            .move, "\(Table.rounded(worst, 2)) s at worst, claimed in \(Table.rounded(half, 2)) s", share: worst / 5)
    }

    /// The member that dies. Until its standard input ends, so that it never outlives who started it.
    static func runMember(_ url: String, folder: String) async throws {
        let bench: BenchLog = try await BenchLog(folder: "\(folder)/passerelle-logbench-\(getpid())-member", url: url)
        let consumer: Consumer = try bench.log.consume(
            group: self.group, topics: [self.topic], handler: .external { _ in .done })
        await withCheckedContinuation { (ended: CheckedContinuation<Void, Never>) in
            var thread: pthread_t = pthread_t()
            let box: UnsafeMutableRawPointer = Unmanaged.passRetained(Box(ended)).toOpaque()
            pthread_create(
                &thread, nil,
                { pointer in
                    var byte: UInt8 = 0
                    while read(0, &byte, 1) > 0 {}
                    if let pointer { Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().ended.resume() }
                    return nil
                }, box)
        }
        await consumer.stop()
        await bench.remove()
    }

    private final class Box {
        let ended: CheckedContinuation<Void, Never>

        init(_ ended: CheckedContinuation<Void, Never>) { self.ended = ended }
    }

    private static func round(_ options: BenchOptions, _ url: String) async throws -> (handled: UInt64, claimed: UInt64)
    {
        let database: String = try PostgresPeer.freshDatabase(at: url)
        let member: Member = try Member(["--member", database, "--folder", options.folder])
        let peer: PostgresPeer = try PostgresPeer(database)
        // Tables first appear while it starts.
        let held: String = "SELECT count(*) FROM log_leases WHERE name = 'log-sequencer' AND holder IS NOT NULL"
        try await self.until { try self.count(peer, held) == 1 && self.count(peer, self.owners) == 1 }
        let bench: BenchLog = try await BenchLog(
            folder: "\(options.folder)/passerelle-logbench-\(getpid())-move", url: database)
        let seen: Mutex<Set<Int>> = Mutex([])
        let consumer: Consumer = try bench.log.consume(
            group: self.group, topics: [self.topic],
            handler: .external { record in
                seen.withLock { _ = $0.insert(record.partition) }
                return .done
            })
        try await self.until { try self.count(peer, self.owners) == 2 }
        member.kill()
        let start: UInt64 = clinux_monotonic_nanoseconds()
        try await bench.store.write { transaction in
            // Whatever the hash says: so many keys meet every partition.
            for key: UInt8 in 0..<100 { try transaction.publish(topic: self.topic, key: [key], value: [1]) }
        }
        var claimed: UInt64 = 0
        try await self.until {
            if claimed == 0, try self.count(peer, self.owners) == 1 {
                claimed = clinux_monotonic_nanoseconds() - start
            }
            return claimed > 0 && seen.withLock { $0.count } == self.partitions
        }
        let handled: UInt64 = clinux_monotonic_nanoseconds() - start
        await consumer.stop()
        await bench.remove()
        return (handled, claimed)
    }

    /// Who reads: one process, or two.
    private static let owners: String =
        "SELECT count(DISTINCT member) FROM log_offsets WHERE (SELECT count(member) FROM log_offsets) = 6"

    private static func count(_ peer: PostgresPeer, _ sql: String) throws -> Int {
        Int((try? peer.value(sql)) ?? "") ?? 0
    }

    private static func until(_ isDone: () throws -> Bool) async throws {
        for _ in 0..<self.looksMax {
            if try isDone() { return }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw PeerError("the processes of a group did not share it within \(self.looksMax / 1000) s")
    }
}

/// Another process of this program, which ends with this one.
private final class Member {
    private var process: pid_t = 0
    private let input: Int32

    init(_ arguments: [String]) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw PeerError("no pipe for another process") }
        // The writing end stays here: the other process sees the end of it when this one ends.
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        self.input = ends[1]
        var actions: posix_spawn_file_actions_t = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        var words: [UnsafeMutablePointer<CChar>?] = (["LogBench"] + arguments).map { strdup($0) }
        words.append(nil)
        let result: Int32 = posix_spawn(&self.process, "/proc/self/exe", &actions, nil, words, environ)
        for word: UnsafeMutablePointer<CChar>? in words { free(word) }
        posix_spawn_file_actions_destroy(&actions)
        close(ends[0])
        guard result == 0 else { throw PeerError("another process cannot be started: error \(result)") }
    }

    deinit {
        self.kill()
        close(self.input)
    }

    func kill() {
        guard self.process > 0 else { return }
        _ = Glibc.kill(self.process, SIGKILL)
        waitpid(self.process, nil, 0)
        self.process = 0
    }
}
