import CLinux
import Glibc
import Synchronization
import Telemetry
import TestKit
import Testing

@testable import Processes

/// Both sides in one process: what they say to one another, and what happens when one of them goes.
struct HandoverTests {
    /// What the predecessor was asked to do.
    private final class Duties: Sendable {
        let done: Mutex<[String]> = Mutex([])
        private let sockets: [Int32]

        init(sockets: [Int32] = []) { self.sockets = sockets }

        var list: [String] { self.done.withLock { $0 } }

        func add(_ word: String) { self.done.withLock { $0.append(word) } }

        var duties: HandoverDuties {
            HandoverDuties(
                sockets: { self.sockets.map { dup($0) } }, release: { self.add("release") },
                resume: { self.add("resume") }, handedOver: { self.add("handed over to \($0)") })
        }
    }

    private static func point(_ path: String, _ duties: Duties) throws -> HandoverPoint {
        try HandoverPoint(path: path, logger: .silent, duties: duties.duties)
    }

    private static func isSame(_ first: Int32, _ second: Int32) -> Bool {
        var (one, other): (stat, stat) = (stat(), stat())
        return fstat(first, &one) == 0 && fstat(second, &other) == 0 && one.st_ino == other.st_ino
    }

    @Test(arguments: [0, 1, 59, 60, 61, 200]) func handsEverySocketOver(_ count: Int) async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = "\(folder.path)/sock"
        let ends: [Int32] = (0..<count).map { _ in clinux_eventfd() }
        defer { for fd in ends { close(fd) } }
        let duties: Duties = Duties(sockets: ends)
        let point: HandoverPoint = try Self.point(path, duties)
        try await offPool {
            let predecessor: Predecessor = try #require(try Predecessor.reach(path))
            #expect(predecessor.process == getpid())
            let sockets: [Int32] = try predecessor.sockets()
            #expect(sockets.count == count)
            for (own, theirs) in zip(sockets, ends) { #expect(Self.isSame(own, theirs)) }
            for fd in sockets {
                #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
                close(fd)
            }
            try predecessor.waitForRelease()
            #expect(duties.list == ["release"])
            try predecessor.serving()
        }
        try await eventually { duties.list == ["release", "handed over to \(getpid())"] }
        point.close()
        #expect(access(path, F_OK) != 0)
    }

    @Test(arguments: [true, false]) func takesBackWhatItReleasedWhenTheSuccessorGoes(_ isReleased: Bool) async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = "\(folder.path)/sock"
        let duties: Duties = Duties()
        let point: HandoverPoint = try Self.point(path, duties)
        defer { point.close() }
        try await offPool {
            let predecessor: Predecessor = try #require(try Predecessor.reach(path))
            _ = try predecessor.sockets()
            if isReleased { try predecessor.waitForRelease() }
        }
        // Whoever comes next is served as if nothing had been; until then the place is taken.
        try await eventually {
            let next: Predecessor? = try Predecessor.reach(path)
            return (try? next?.sockets()) != nil
        }
        #expect(duties.list == (isReleased ? ["release", "resume"] : []))
    }

    @Test func refusesASecondSuccessor() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = "\(folder.path)/sock"
        let point: HandoverPoint = try Self.point(path, Duties())
        defer { point.close() }
        try await offPool {
            let first: Predecessor = try #require(try Predecessor.reach(path))
            _ = try first.sockets()
            let second: Predecessor = try #require(try Predecessor.reach(path))
            let failure: HandoverFailure? = #expect(throws: HandoverFailure.self) { _ = try second.sockets() }
            #expect(failure?.description.contains("process \(getpid()) is taking over already") == true)
            try first.waitForRelease()
            try first.serving()
        }
    }

    @Test func nobodyIsThere() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        #expect(try Predecessor.reach("\(folder.path)/sock") == nil)
        #expect(try Predecessor.reach("\(folder.path)/no/folder/sock") == nil)
        let long: String = String(repeating: "x", count: 200)
        #expect(throws: HandoverFailure.self) { _ = try Predecessor.reach("\(folder.path)/\(long)") }
    }

    /// A socket's address holds 107 bytes; folders may be deeper.
    @Test func pathsMayBeLong() async throws {
        let folder: TemporaryFolder = TemporaryFolder()
        var path: String = folder.path
        for _ in 0..<8 {
            path += "/a-folder-with-a-rather-long-name"
            #expect(mkdir(path, 0o700) == 0)
        }
        path += "/passerelle.sock"
        let point: HandoverPoint = try Self.point(path, Duties())
        defer { point.close() }
        #expect(try Predecessor.reach(path) != nil)
    }

    @Test func theSocketOfASuccessorStays() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let path: String = "\(folder.path)/sock"
        let old: HandoverPoint = try Self.point(path, Duties())
        let new: HandoverPoint = try Self.point(path, Duties())
        old.close()
        #expect(access(path, F_OK) == 0)
        new.close()
        #expect(access(path, F_OK) != 0)
    }
}

/// Runs work that blocks on a thread of its own.
private func offPool(_ work: @escaping @Sendable () throws -> Void) async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let body: @Sendable () -> Void = { continuation.resume(with: Result { try work() }) }
        var thread: pthread_t = pthread_t()
        let result: Int32 = pthread_create(
            &thread, nil,
            { (context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? in
                Unmanaged<ThreadWork>.fromOpaque(context!).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(ThreadWork(body)).toOpaque())
        precondition(result == 0, "pthread_create: error \(result)")
        pthread_detach(thread)
    }
}

private final class ThreadWork: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}
