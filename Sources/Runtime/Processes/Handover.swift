import CLinux
import Glibc
import JSON
import Synchronization
package import Telemetry

// One process takes over from another of the same user on the same machine. The messages, each a JSON object in one packet of a
// Unix socket, `<` to the successor and `>` from it:
//
//   > {"take_over": 1}                  the version of this protocol
//   < {"sockets": N}                    with up to 60 descriptors; more messages follow until N have come
//   > {"prepared": true}                it could start but for what only one process may hold
//   < {"released": true}                the predecessor has let go of that: data folder, store, follower of the control plane
//   > {"serving": true}                 it accepts connections; the predecessor ends what it has and exits
//   < {"refused": "why"}                at any time; the connection ends
//
// A connection that ends before `serving` is a successor that failed: the predecessor takes back what it had released. Until then it
// has accepted connections all the time, so nothing was lost.

/// Versions of the messages that this program speaks.
private let handoverVersion: Int64 = 1

/// What a process does when it is taken over.
package struct HandoverDuties: Sendable {
    /// Second descriptors of everything it listens on.
    package let sockets: @Sendable () -> [Int32]
    /// Lets go of what only one process may hold; goes on serving requests.
    package let release: @Sendable () async -> Void
    /// Takes it back: the successor failed.
    package let resume: @Sendable () async -> Void
    /// The successor, by its process id, serves: end what there is and exit.
    package let handedOver: @Sendable (Int32) -> Void

    package init(
        sockets: @escaping @Sendable () -> [Int32], release: @escaping @Sendable () async -> Void,
        resume: @escaping @Sendable () async -> Void, handedOver: @escaping @Sendable (Int32) -> Void
    ) {
        self.sockets = sockets
        self.release = release
        self.resume = resume
        self.handedOver = handedOver
    }
}

/// Where a running process can be taken over: a socket at a path. A thread accepts, another one talks to the one successor there can
/// be at a time.
package final class HandoverPoint: Sendable {
    private struct State {
        /// Of the successor that is being talked to.
        var successor: Int32?
        var isOver: Bool = false
    }

    private let path: String
    private let logger: Logger
    private let duties: HandoverDuties
    private let listener: Int32
    /// The file of the socket, so that another process's is not removed.
    private let file: ino_t
    private let state: Mutex<State> = Mutex(State())

    /// Listens at the path from now on; a socket that a dead or replaced process left there is replaced.
    ///
    /// - Throws: the reason in words.
    package init(path: String, logger: Logger, duties: HandoverDuties) throws(HandoverFailure) {
        self.path = path
        self.logger = logger
        self.duties = duties
        let own: String = "\(path).\(getpid())"
        unlink(own)
        self.listener = clinux_message_listen(own)
        if self.listener < 0 { throw HandoverFailure("cannot listen at \(path): \(String(cString: strerror(errno)))") }
        guard let file: ino_t = Self.file(own), chmod(own, 0o600) == 0, rename(own, path) == 0 else {
            let reason: String = String(cString: strerror(errno))
            _ = Glibc.close(self.listener)
            unlink(own)
            throw HandoverFailure("cannot listen at \(path): \(reason)")
        }
        self.file = file
        self.onThread("handover") { $0.accept() }
    }

    private static func file(_ path: String) -> ino_t? {
        var status: stat = stat()
        return lstat(path, &status) == 0 ? status.st_ino : nil
    }

    /// Takes no successor any more. The path stays when another process listens there by now.
    package func close() {
        let isFirst: Bool = self.state.withLock { (state: inout State) -> Bool in
            defer { state.isOver = true }
            return !state.isOver
        }
        guard isFirst else { return }
        if Self.file(self.path) == self.file { unlink(self.path) }
        // Wakes the thread that accepts, which closes it.
        shutdown(self.listener, Int32(SHUT_RDWR))
    }

    // MARK: Threads

    private func onThread(_ name: String, _ work: @escaping @Sendable (HandoverPoint) -> Void) {
        BlockingThread.run(name) { work(self) }
    }

    private func accept() {
        while true {
            let fd: Int32 = clinux_message_accept(self.listener)
            if fd < 0 {
                if self.state.withLock({ $0.isOver }) { break }
                if errno == EINTR || errno == ECONNABORTED { continue }
                // Out of descriptors: they come back.
                clinux_sleep_nanoseconds(100_000_000)
                continue
            }
            self.welcome(MessageSocket(adopting: fd))
        }
        _ = Glibc.close(self.listener)
    }

    private func welcome(_ socket: MessageSocket) {
        guard let peer: MessageSocket.Peer = try? socket.peer() else { return }
        guard peer.user == geteuid() else {
            self.logger.warning(
                "a process of another user may not take over",
                ["process": .int(Int64(peer.process)), "user": .int(Int64(peer.user))])
            return self.refuse(socket, "process \(getpid()) belongs to another user")
        }
        let busy: Int32? = self.state.withLock { (state: inout State) -> Int32? in
            if let busy: Int32 = state.successor { return busy }
            if state.isOver { return 0 }
            state.successor = peer.process
            return nil
        }
        if let busy: Int32 {
            let other: String = busy == 0 ? "it is stopping" : "process \(busy) is taking over already"
            return self.refuse(socket, other)
        }
        self.onThread("successor") { point in
            let isDone: Bool = point.talk(socket, peer.process)
            point.state.withLock { $0.successor = isDone ? peer.process : nil }
        }
    }

    private func refuse(_ socket: MessageSocket, _ reason: String) {
        try? socket.send(["refused": .string(reason)])
    }

    // MARK: Talking

    /// Whether the successor serves.
    private func talk(_ socket: MessageSocket, _ process: Int32) -> Bool {
        let successor: JSONObject = ["process": .int(Int64(process))]
        var isReleased: Bool = false
        do throws(MessageSocket.Failure) {
            let hello: JSONObject = try socket.receive(within: .seconds(10)).message
            guard hello["take_over"]?.integer == handoverVersion else {
                self.logger.warning("a successor of another version is refused", successor)
                self.refuse(socket, "process \(getpid()) speaks version \(handoverVersion) of taking over")
                return false
            }
            self.logger.info("a successor takes over", successor)
            try self.send(self.duties.sockets(), to: socket)
            try self.expect("prepared", socket)
            isReleased = true
            BlockingThread.wait(for: self.duties.release)
            try socket.send(["released": true])
            try self.expect("serving", socket)
        } catch {
            self.logger.error(
                "the successor failed: serving on",
                ["process": .int(Int64(process)), "error": .string(error.description)])
            if isReleased { BlockingThread.wait(for: self.duties.resume) }
            return false
        }
        self.logger.info("handed over", successor)
        self.duties.handedOver(process)
        return true
    }

    private func expect(_ word: String, _ socket: MessageSocket) throws(MessageSocket.Failure) {
        // However long it takes: a process that hangs can be killed, which ends the connection.
        guard try socket.receive().message[word]?.boolean == true else { throw .malformed }
    }

    private func send(_ descriptors: [Int32], to socket: MessageSocket) throws(MessageSocket.Failure) {
        defer { for descriptor in descriptors { _ = Glibc.close(descriptor) } }
        var rest: ArraySlice<Int32> = descriptors[...]
        repeat {
            let part: ArraySlice<Int32> = rest.prefix(MessageSocket.descriptorsMax)
            rest = rest.dropFirst(part.count)
            try socket.send(["sockets": .int(Int64(descriptors.count))], descriptors: Array(part))
        } while !rest.isEmpty
    }
}

/// The process that this one takes over from.
///
/// `sockets`, `waitForRelease` and `serving` are called once each, in this order, and block: for a start. Whoever drops it before
/// `serving` leaves the predecessor to go on.
package final class Predecessor: Sendable {
    /// How long it may take to answer; and to let go, which includes the end of requests to its control plane.
    private static let answerLimit: Duration = .seconds(10)
    private static let releaseLimit: Duration = .seconds(120)

    private let socket: MessageSocket
    package let process: Int32

    private init(_ socket: MessageSocket, _ process: Int32) {
        self.socket = socket
        self.process = process
    }

    /// Nil when nobody is there to take over from.
    package static func reach(_ path: String) throws(HandoverFailure) -> Predecessor? {
        let socket: MessageSocket
        let peer: MessageSocket.Peer
        do throws(MessageSocket.Failure) {
            socket = try MessageSocket.connect(path)
            peer = try socket.peer()
        } catch {
            if error == .nobody { return nil }
            throw HandoverFailure("\(path): \(error)")
        }
        guard peer.user == geteuid() else {
            throw HandoverFailure("process \(peer.process) at \(path) belongs to another user")
        }
        return Predecessor(socket, peer.process)
    }

    /// What it listens on.
    package func sockets() throws(HandoverFailure) -> [Int32] {
        var sockets: [Int32] = []
        do throws(HandoverFailure) {
            try self.send(["take_over": .int(handoverVersion)])
            while true {
                let (message, some): (JSONObject, [Int32]) = try self.receive(Self.answerLimit)
                sockets += some
                guard let count: Int64 = message["sockets"]?.integer else { throw self.unknown }
                if sockets.count >= Int(count) { return sockets }
                if some.isEmpty { throw self.unknown }
            }
        } catch {
            for fd in sockets { close(fd) }
            throw error
        }
    }

    /// Says that this process could start, and returns when the other has let go of what only one may hold.
    package func waitForRelease() throws(HandoverFailure) {
        try self.send(["prepared": true])
        guard try self.receive(Self.releaseLimit).message["released"]?.boolean == true else { throw self.unknown }
    }

    /// This process accepts connections: the other one ends.
    package func serving() throws(HandoverFailure) { try self.send(["serving": true]) }

    private func send(_ message: JSONObject) throws(HandoverFailure) {
        do throws(MessageSocket.Failure) {
            try self.socket.send(message)
        } catch {
            // What it said before it went is still there to be read.
            _ = try self.receive(.zero)
            throw self.failure(error)
        }
    }

    private func receive(
        _ limit: Duration
    ) throws(HandoverFailure) -> (message: JSONObject, descriptors: [Int32]) {
        let received: (message: JSONObject, descriptors: [Int32])
        do throws(MessageSocket.Failure) {
            received = try self.socket.receive(within: limit)
        } catch {
            throw self.failure(error)
        }
        if let reason: String = received.message["refused"]?.text {
            throw HandoverFailure("process \(self.process) is not taken over: \(reason)")
        }
        return received
    }

    private func failure(_ error: MessageSocket.Failure) -> HandoverFailure {
        HandoverFailure("process \(self.process) is not taken over: \(error)")
    }

    private var unknown: HandoverFailure { self.failure(.malformed) }
}

/// Why a process is not taken over, in words.
package struct HandoverFailure: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Threads for calls that block.
private enum BlockingThread {
    private final class Work: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs the work on a thread of its own, which ends with it.
    static func run(_ name: String, _ body: @escaping @Sendable () -> Void) {
        var thread: pthread_t = pthread_t()
        let result: Int32 = pthread_create(
            &thread, nil,
            { (context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? in
                let work: Work = Unmanaged<Work>.fromOpaque(context!).takeRetainedValue()
                clinux_set_thread_name(work.name)
                work.body()
                return nil
            }, Unmanaged.passRetained(Work(name, body)).toOpaque())
        precondition(result == 0, "cannot start a thread: error \(result)")
        pthread_detach(thread)
    }

    /// Waits on such a thread for asynchronous work.
    static func wait(for work: @escaping @Sendable () async -> Void) {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "pipe failed: errno \(errno)")
        let (reading, writing): (Int32, Int32) = (ends[0], ends[1])
        Task.detached {
            await work()
            close(writing)
        }
        var byte: UInt8 = 0
        while read(reading, &byte, 1) < 0 && errno == EINTR {}
        close(reading)
    }
}
