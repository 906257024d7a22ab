package import EventLoops
package import GatewayConfiguration
import Glibc
import Synchronization

/// The data plane of one process: its loops, listeners and the snapshot they serve.
///
/// Any thread may call it. `start` once, then `apply` as often as the configuration changes, `drain` at the end.
package final class GatewayEngine: Sendable {
    /// Addresses that are really bound: a port of 0 is told apart.
    package struct Bound: Sendable {
        package var http: SocketAddress?
        package var https: SocketAddress?
    }

    package enum StartError: Error, CustomStringConvertible {
        case address(String)
        case system(SystemError)

        package var description: String {
            switch self {
            case .address(let text): "'\(text)' is not an address such as 127.0.0.1:8000"
            case .system(let error): error.description
            }
        }
    }

    private let settings: ProcessSettings
    private let group: EventLoopGroup
    private let loops: [GatewayLoop]
    private let book: AddressBook = AddressBook()

    /// Makes the loops, which serve `snapshot` as soon as `start` is called.
    package init(process: ProcessSettings, snapshot: Snapshot, engine: EngineSettings = EngineSettings()) {
        self.settings = process
        var count: Int?
        if case .fixed(let number) = process.workers { count = number }
        let group: EventLoopGroup = EventLoopGroup(count: count, name: "gateway")
        self.group = group
        var loops: [GatewayLoop] = []
        for events in group.loops {
            loops.append(
                GatewayLoop(
                    events: events, snapshot: snapshot, settings: engine, book: self.book, loopCount: group.loops.count,
                    traceSample: process.telemetry.traceSample))
        }
        self.loops = loops
    }

    /// Opens the listeners and begins to serve.
    package func start() async throws(StartError) -> Bound {
        var bound: Bound = Bound()
        if let http: String = self.settings.listen.http { bound.http = try await self.listen(http) }
        return bound
    }

    private func listen(_ text: String) async throws(StartError) -> SocketAddress {
        guard let address: SocketAddress = SocketAddress(text) else { throw .address(text) }
        do throws(SystemError) {
            let (sockets, bound): ([Int32], SocketAddress) = try Socket.listen(address, count: self.loops.count)
            for (index, fd) in sockets.enumerated() {
                let loop: GatewayLoop = self.loops[index]
                let result: Result<Void, SystemError> = await withCheckedContinuation {
                    (continuation: CheckedContinuation<Result<Void, SystemError>, Never>) in
                    loop.events.execute {
                        continuation.resume(returning: Result { () throws(SystemError) in try loop.listen(fd) })
                    }
                }
                try result.get()
            }
            return bound
        } catch {
            throw .system(error)
        }
    }

    /// Makes every loop serve this snapshot; returns when all do. Exchanges under way end on the one they began on.
    package func apply(_ snapshot: Snapshot) async {
        await self.onEveryLoop { (loop: GatewayLoop, done: @escaping @Sendable () -> Void) in
            loop.install(snapshot)
            done()
        }
    }

    /// Stops accepting, lets exchanges end until the deadline, cuts off the rest, and ends the loops.
    package func drain(deadline: Duration) async {
        let loops: [GatewayLoop] = self.loops
        for loop in loops {
            loop.events.execute {
                loop.events.schedule(ActionTimer { loop.cutOff() }, after: deadline)
            }
        }
        await self.onEveryLoop { (loop: GatewayLoop, done: @escaping @Sendable () -> Void) in loop.drain(done) }
        self.group.shutdown()
    }

    /// Client connections open now.
    package var connectionCount: Int {
        var count: Int = 0
        for loop in self.loops { count += loop.counters.connections.load(ordering: .relaxed) }
        return count
    }

    /// Buffers that connections hold; 0 when none is at work.
    package var blockCount: Int {
        var count: Int = 0
        for loop in self.loops { count += loop.blocks.taken.load(ordering: .relaxed) }
        return count
    }

    /// Runs the work on each loop and returns when every one has called back.
    private func onEveryLoop(_ work: @escaping @Sendable (GatewayLoop, @escaping @Sendable () -> Void) -> Void) async {
        let left: Countdown = Countdown(self.loops.count)
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            for loop in self.loops {
                loop.events.execute {
                    work(loop) { if left.tick() { continuation.resume() } }
                }
            }
        }
    }
}

/// Counts down to zero, once.
private final class Countdown: Sendable {
    private let left: Atomic<Int>

    init(_ count: Int) { self.left = Atomic(count) }

    /// True for the call that reached zero.
    func tick() -> Bool { self.left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}
