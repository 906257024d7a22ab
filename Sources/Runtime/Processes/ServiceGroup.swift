import JSON
import Synchronization
package import Telemetry
package import Time

/// Starts the long-running parts of a process in order and stops them in reverse.
package final class ServiceGroup: Sendable {
    /// A part that runs from its start to its stop.
    package struct Member: Sendable {
        package let name: String
        /// How long its stop may take.
        package let stopDeadline: Duration
        /// Returns once the part works.
        package let start: @Sendable () async throws -> Void
        /// Takes no more work, finishes what it has, closes; told how long it may take. Called once, only after a good start.
        package let stop: @Sendable (Duration) async -> Void

        package init(
            _ name: String, stopDeadline: Duration = .seconds(10), start: @escaping @Sendable () async throws -> Void,
            stop: @escaping @Sendable (Duration) async -> Void
        ) {
            self.name = name
            self.stopDeadline = stopDeadline
            self.start = start
            self.stop = stop
        }
    }

    /// A part that did not start. Those before it have been stopped again.
    package struct StartFailure: Error, CustomStringConvertible {
        package let member: String
        package let cause: any Error

        package var description: String { "\(self.member) did not start: \(self.cause)" }
    }

    private let members: [Member]
    private let logger: Logger
    private let clock: any WallClock
    private let started: Mutex<[Member]> = Mutex([])

    package init(_ members: [Member], logger: Logger, clock: any WallClock = SystemClock()) {
        self.members = members
        self.logger = logger
        self.clock = clock
    }

    /// Starts all members, one after the other. Call once.
    package func start() async throws(StartFailure) {
        for member in self.members {
            do {
                try await member.start()
            } catch {
                await self.stop()
                throw StartFailure(member: member.name, cause: error)
            }
            self.started.withLock { $0.append(member) }
            self.logger.debug("started", ["part": .string(member.name)])
        }
    }

    /// Stops what was started, the last first, each within its own deadline: one that takes longer is left behind, named in the log
    /// and in the result.
    @discardableResult
    package func stop() async -> [String] {
        let started: [Member] = self.started.withLock { (started: inout [Member]) -> [Member] in
            defer { started = [] }
            return started
        }
        var late: [String] = []
        for member in started.reversed() {
            if await self.stop(member) {
                self.logger.debug("stopped", ["part": .string(member.name)])
            } else {
                late.append(member.name)
                self.logger.error(
                    "a part did not stop in time",
                    ["part": .string(member.name), "seconds": .double(member.stopDeadline.secondsAsDouble)])
            }
        }
        return late
    }

    /// Whether the member stopped before its deadline. A task group would wait for it all the same; hence the race of two tasks of
    /// their own.
    private func stop(_ member: Member) async -> Bool {
        let race = Race()
        let clock: any WallClock = self.clock
        let stopping = Task {
            await member.stop(member.stopDeadline)
            race.end(with: true)
        }
        let timer = Task {
            try? await clock.sleep(for: member.stopDeadline)
            race.end(with: false)
        }
        let isStopped: Bool = await race.result()
        timer.cancel()
        // Whoever honours cancellation stops after all.
        stopping.cancel()
        return isStopped
    }
}

/// The first of several outcomes.
private final class Race: Sendable {
    private struct State {
        var outcome: Bool?
        var continuation: CheckedContinuation<Bool, Never>?
    }

    private let state: Mutex<State> = Mutex(State())

    func end(with outcome: Bool) {
        let continuation: CheckedContinuation<Bool, Never>? = self.state.withLock { (state: inout State) in
            guard state.outcome == nil else { return nil }
            state.outcome = outcome
            return state.continuation
        }
        continuation?.resume(returning: outcome)
    }

    func result() async -> Bool {
        await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
            let outcome: Bool? = self.state.withLock { (state: inout State) -> Bool? in
                state.continuation = continuation
                return state.outcome
            }
            if let outcome: Bool { continuation.resume(returning: outcome) }
        }
    }
}
