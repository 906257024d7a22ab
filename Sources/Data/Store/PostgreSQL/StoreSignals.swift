import CLinux
import Glibc
import Synchronization

/// What comes from other processes on the same database.
package enum StoreSignal: Sendable {
    /// The connection is there, for the first time or again: what was said before was not heard.
    case connected
    case message(String)
}

/// Short messages between the processes that share a database on PostgreSQL: `LISTEN` and `NOTIFY` on a connection and a thread
/// of their own.
///
/// They are hints that save waiting, never the only way to find something out: a message is lost when its sender or its
/// receiver has no connection. Messages are sent outside of any transaction that matters, since PostgreSQL lets transactions
/// that notify commit one at a time only.
package final class StoreSignals: Sendable {
    /// Messages that wait to be sent; beyond it all but the newest are dropped.
    private static let waitingMax: Int = 256
    /// Bytes of a message that PostgreSQL takes.
    package static let messageBytesMax: Int = 7000
    private static let statementMilliseconds: Int64 = 5_000
    /// Pause between two looks at the connection while nothing comes, milliseconds.
    private static let pollMilliseconds: Int32 = 5_000
    private static let reconnectMilliseconds: Int32 = 200

    private struct State {
        var waiting: [String] = []
        var isStopped: Bool = false
    }

    private let state: Mutex<State> = Mutex(State())
    private let wakeDescriptor: Int32
    private let channel: String
    private let sessions: PostgresSessions
    private let received: @Sendable (StoreSignal) -> Void

    init(
        _ channel: String, _ sessions: PostgresSessions, _ received: @escaping @Sendable (StoreSignal) -> Void
    ) throws(StoreError) {
        guard !channel.isEmpty, channel.utf8.allSatisfy({ ($0 >= 0x61 && $0 <= 0x7a) || $0 == 0x5f }) else {
            throw .misuse("a channel's name has lower-case letters and '_'")
        }
        self.channel = channel
        self.sessions = sessions
        self.received = received
        self.wakeDescriptor = clinux_eventfd()
        guard self.wakeDescriptor >= 0 else { throw .unavailable(reason: "cannot make an event descriptor") }
        // The thread keeps this object until it is stopped.
        _ = try StoreThread(name: "store-signals") { self.run() }
    }

    deinit { close(self.wakeDescriptor) }

    /// Sends a message to the other processes, soon. The same message, not sent yet, is sent once. Any thread.
    package func send(_ message: String) {
        let isNew: Bool = self.state.withLock { state in
            if state.waiting.contains(message) { return false }
            if state.waiting.count >= Self.waitingMax { state.waiting.removeAll(keepingCapacity: true) }
            state.waiting.append(message)
            return true
        }
        if isNew { self.wake() }
    }

    /// Ends the thread, soon.
    func stop() {
        self.state.withLock { $0.isStopped = true }
        self.wake()
    }

    private func wake() {
        var one: UInt64 = 1
        _ = write(self.wakeDescriptor, &one, 8)
    }

    // MARK: - The thread

    private var isStopped: Bool { self.state.withLock { $0.isStopped } }

    private func run() {
        while !self.isStopped {
            if let connection: PostgresConnection = self.connect() {
                self.received(.connected)
                do { try self.serve(connection) } catch { connection.close() }
            }
            if !self.isStopped { self.wait(-1, Self.reconnectMilliseconds) }
        }
    }

    private func connect() -> PostgresConnection? {
        do throws(StoreError) {
            let connection: PostgresConnection = try self.sessions.connect(
                statementTime: .milliseconds(Self.statementMilliseconds), now: clinux_monotonic_nanoseconds())
            try connection.command("LISTEN \(self.channel)")
            return connection
        } catch {
            // The store's own connections tell of the trouble.
            return nil
        }
    }

    /// Sends and receives until stopped; throws when the connection is lost.
    private func serve(_ connection: PostgresConnection) throws(StoreError) {
        while !self.isStopped {
            for message: String in self.takeWaiting() {
                _ = try connection.execute("SELECT pg_notify($1, $2)", [.text(self.channel), .text(message)])
            }
            for message: String in try connection.takeNotifications() { self.received(.message(message)) }
            self.wait(connection.socket, Self.pollMilliseconds)
        }
        connection.close()
    }

    private func takeWaiting() -> [String] {
        self.state.withLock { state in
            defer { state.waiting.removeAll(keepingCapacity: true) }
            return state.waiting
        }
    }

    /// Until there is something to read or to send, or the time is over.
    private func wait(_ socket: Int32, _ milliseconds: Int32) {
        var descriptors: [pollfd] = [pollfd(fd: self.wakeDescriptor, events: Int16(POLLIN), revents: 0)]
        if socket >= 0 { descriptors.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0)) }
        _ = poll(&descriptors, nfds_t(descriptors.count), milliseconds)
        var count: UInt64 = 0
        _ = read(self.wakeDescriptor, &count, 8)
    }
}
