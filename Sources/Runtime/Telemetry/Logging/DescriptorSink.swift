import CLinux
import Glibc
import Synchronization

/// Writes lines to a file descriptor (standard error) from a thread of its own, so that a slow reader never holds up who logs.
///
/// Lines wait in a buffer of at most `bytesMax`; when it is full further ones are dropped and counted, and a line that says how
/// many follows as soon as there is room. Every `write(2)` holds whole lines, and at most PIPE_BUF bytes unless a single line
/// is longer: processes that share a pipe do not cut each other's lines.
package final class DescriptorSink: LogSink {
    package static let bytesMaxDefault: Int = 1 << 20

    /// What a pipe takes in one piece (PIPE_BUF on Linux).
    private static let pieceBytesMax: Int = 4096
    /// How long a descriptor that takes no bytes is waited for before the piece is dropped.
    private static let stallMillisecondsMax: Int32 = 2000

    private struct State {
        var pending: [UInt8] = []
        /// Lengths of the lines in `pending`.
        var lengths: [Int] = []
        var droppedUntold: UInt64 = 0
        var isSleeping: Bool = false
        var isWriting: Bool = false
        var isClosed: Bool = false
    }

    private let descriptor: Int32
    private let bytesMax: Int
    private let tellDropped: @Sendable (UInt64) -> [UInt8]
    private let state: Mutex<State> = Mutex(State())
    private let droppedTotal: Atomic<UInt64> = Atomic(0)
    // A semaphore must not move; the writing thread holds the sink, so the memory outlives every wait.
    private nonisolated(unsafe) let wake: UnsafeMutablePointer<sem_t>

    /// Starts the writing thread. `tellDropped` makes the line (with line feed) about so many dropped ones. The descriptor stays
    /// the caller's; the sink lives until `close()`.
    package init(
        descriptor: Int32, bytesMax: Int = DescriptorSink.bytesMaxDefault,
        tellDropped: @escaping @Sendable (UInt64) -> [UInt8]
    ) {
        self.descriptor = descriptor
        self.bytesMax = bytesMax
        self.tellDropped = tellDropped
        self.wake = .allocate(capacity: 1)
        sem_init(self.wake, 0, 0)
        self.startThread()
    }

    deinit {
        sem_destroy(self.wake)
        self.wake.deallocate()
    }

    /// Lines dropped so far because the buffer was full or the descriptor failed.
    package var dropped: UInt64 { self.droppedTotal.load(ordering: .relaxed) }

    package func write(_ line: [UInt8]) {
        let mustWake: Bool = self.state.withLock { (state: inout State) -> Bool in
            guard !state.isClosed, state.pending.count + line.count <= self.bytesMax else {
                state.droppedUntold += 1
                self.droppedTotal.add(1, ordering: .relaxed)
                return false
            }
            state.pending.append(contentsOf: line)
            state.lengths.append(line.count)
            defer { state.isSleeping = false }
            return state.isSleeping
        }
        if mustWake { sem_post(self.wake) }
    }

    package func flush(within limit: Duration) {
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let (seconds, attoseconds) = limit.components
        let nanoseconds: UInt64 = UInt64(max(0, seconds)) * 1_000_000_000 + UInt64(max(0, attoseconds)) / 1_000_000_000
        while clinux_monotonic_nanoseconds() - start < nanoseconds {
            if self.state.withLock({ $0.pending.isEmpty && !$0.isWriting }) { return }
            clinux_sleep_nanoseconds(500_000)
        }
    }

    /// Ends the thread once what waits is out; later lines are dropped.
    package func close() {
        self.state.withLock {
            $0.isClosed = true
            $0.isSleeping = false
        }
        sem_post(self.wake)
    }

    // MARK: The writing thread

    private func startThread() {
        var thread = pthread_t()
        let context: UnsafeMutableRawPointer = Unmanaged.passRetained(self).toOpaque()
        let result: Int32 = pthread_create(
            &thread, nil,
            { (context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? in
                // Signals go to the threads that wait for them.
                var all = sigset_t()
                sigfillset(&all)
                pthread_sigmask(SIG_SETMASK, &all, nil)
                Unmanaged<DescriptorSink>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context)
        precondition(result == 0, "cannot start the log thread: error \(result)")
        pthread_detach(thread)
    }

    private func run() {
        var lines: [UInt8] = []
        var lengths: [Int] = []
        while true {
            let (isClosed, dropped) = self.take(&lines, &lengths)
            if lines.isEmpty, dropped == 0 {
                if isClosed { return }
                while sem_wait(self.wake) != 0 {}
                continue
            }
            self.writeOut(lines, lengths)
            if dropped > 0 {
                let line: [UInt8] = self.tellDropped(dropped)
                self.writeOut(line, [line.count])
            }
            self.state.withLock { $0.isWriting = false }
        }
    }

    /// Swaps the waiting lines with the emptied buffers of the last round.
    private func take(_ lines: inout [UInt8], _ lengths: inout [Int]) -> (isClosed: Bool, dropped: UInt64) {
        lines.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        return self.state.withLock { (state: inout State) -> (Bool, UInt64) in
            swap(&lines, &state.pending)
            swap(&lengths, &state.lengths)
            let dropped: UInt64 = state.droppedUntold
            state.droppedUntold = 0
            state.isWriting = !lines.isEmpty || dropped > 0
            state.isSleeping = !state.isWriting
            return (state.isClosed, dropped)
        }
    }

    /// Cuts the lines into pieces of whole lines and writes each with one call.
    private func writeOut(_ lines: [UInt8], _ lengths: [Int]) {
        var start: Int = 0
        var end: Int = 0
        var count: UInt64 = 0
        for length in lengths {
            if end > start, end - start + length > DescriptorSink.pieceBytesMax {
                self.writePiece(lines[start..<end], lines: count)
                start = end
                count = 0
            }
            end += length
            count += 1
        }
        if end > start { self.writePiece(lines[start..<end], lines: count) }
    }

    private func writePiece(_ piece: ArraySlice<UInt8>, lines: UInt64) {
        let isOut: Bool = piece.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) -> Bool in
            var offset: Int = 0
            while offset < bytes.count {
                let written: Int = Glibc.write(self.descriptor, bytes.baseAddress! + offset, bytes.count - offset)
                if written > 0 {
                    offset += written
                } else if written < 0, errno == EINTR {
                    continue
                } else if written < 0, errno == EAGAIN, self.waitUntilWritable() {
                    continue
                } else {
                    // Nowhere left to complain; the count is in the metrics.
                    return false
                }
            }
            return true
        }
        if !isOut { self.droppedTotal.add(lines, ordering: .relaxed) }
    }

    /// Standard error may be a terminal or pipe that someone else made non-blocking.
    private func waitUntilWritable() -> Bool {
        var entry = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, DescriptorSink.stallMillisecondsMax) > 0
    }
}
