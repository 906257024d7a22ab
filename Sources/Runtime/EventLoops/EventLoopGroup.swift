import CLinux
import Synchronization

/// A fixed number of loops; work is dealt out in turn.
package final class EventLoopGroup: Sendable {
    /// The most loops one process starts.
    package static let countMax: Int = 256

    package let loops: [EventLoop]
    private let cursor: Atomic<Int> = Atomic(0)

    /// Starts `count` loops, or one for each processor this process may run on.
    package init(count: Int? = nil, name: String = "loop") {
        let wanted: Int = min(max(count ?? Int(clinux_processor_count()), 1), EventLoopGroup.countMax)
        var loops: [EventLoop] = []
        for index in 0..<wanted { loops.append(EventLoop.start(name: "\(name)-\(index)")) }
        self.loops = loops
    }

    /// The next loop in turn. Any thread.
    package func next() -> EventLoop {
        let turn: Int = self.cursor.wrappingAdd(1, ordering: .relaxed).oldValue
        return self.loops[Int(UInt(bitPattern: turn) % UInt(self.loops.count))]
    }

    /// Stops every loop and waits for their threads. Not from a loop.
    package func shutdown() {
        for loop in self.loops { loop.stop() }
        for loop in self.loops { loop.join() }
    }
}
