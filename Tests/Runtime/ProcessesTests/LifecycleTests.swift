import CLinux
import Glibc
import Processes
import Synchronization
import Telemetry
import TestKit
import Testing

/// Each runs in a process of its own: signals and limits belong to the whole process. What a child finds wrong ends it with
/// another code than the expected one.
@Suite struct LifecycleTests {
    @Test(arguments: [SIGTERM, SIGINT])
    func aSignalBeginsTheStopAndTheCallerEndsIt(number: Int32) async {
        await #expect(processExitsWith: .exitCode(42)) { [number] in
            boundChild()
            let lifecycle: Lifecycle = .start(logger: .silent)
            send(number)
            let cause: StopCause = await lifecycle.waitForStop()
            guard cause == .signal(number), await lifecycle.waitForStop() == cause else { exit(3) }
            lifecycle.finish()
            // A signal after the end changes nothing: the exit code is the caller's.
            exit(42)
        }
    }

    @Test func whoWaitsAlreadyIsWoken() async {
        await #expect(processExitsWith: .exitCode(42)) {
            boundChild()
            let lifecycle: Lifecycle = .start(logger: .silent)
            async let first: StopCause = lifecycle.waitForStop()
            async let second: StopCause = lifecycle.waitForStop()
            lifecycle.requestStop("because")
            lifecycle.requestStop("ignored")
            let causes: [StopCause] = await [first, second]
            exit(causes == [.requested("because"), .requested("because")] ? 42 : 3)
        }
    }

    @Test func aSecondSignalExitsAtOnceWithCodeOne() async {
        await #expect(processExitsWith: .exitCode(1)) {
            boundChild()
            let lifecycle: Lifecycle = .start(logger: .silent)
            send(SIGTERM)
            _ = await lifecycle.waitForStop()
            send(SIGINT)
            // Blocks this thread: the end must come from another.
            clinux_sleep_nanoseconds(60_000_000_000)
            exit(3)
        }
    }

    @Test func theDrainDeadlineEndsAProcessThatDoesNotStop() async {
        await #expect(processExitsWith: .exitCode(1)) {
            boundChild()
            let lifecycle: Lifecycle = .start(logger: .silent, drainDeadline: .milliseconds(20))
            lifecycle.requestStop("test")
            clinux_sleep_nanoseconds(60_000_000_000)
            exit(3)
        }
    }

    @Test func aFinishedDrainHasNoDeadline() async {
        await #expect(processExitsWith: .exitCode(42)) {
            boundChild()
            let lifecycle: Lifecycle = .start(logger: .silent, drainDeadline: .milliseconds(50))
            lifecycle.requestStop("test")
            lifecycle.finish()
            clinux_sleep_nanoseconds(150_000_000)
            exit(42)
        }
    }

    @Test func theLastWordsAreWritten() async throws {
        let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
            boundChild()
            let logger: Logger = .standardError(level: .info)
            let lifecycle: Lifecycle = .start(logger: logger)
            send(SIGTERM)
            _ = await lifecycle.waitForStop()
            send(SIGTERM)
            clinux_sleep_nanoseconds(60_000_000_000)
        }
        let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(text.contains("\"message\":\"stopping\",\"cause\":\"SIGTERM\""))
        #expect(text.contains("a second signal"))
    }

    @Test func hangUpReloadsAgainAndAgainButNeverTwiceAtOnce() async {
        await #expect(processExitsWith: .exitCode(42)) {
            final class Counts: Sendable {
                let begun: Atomic<Int> = Atomic(0)
                let active: Atomic<Int> = Atomic(0)
                let mayEnd: Atomic<Bool> = Atomic(false)
            }
            boundChild()
            let counts = Counts()
            let lifecycle: Lifecycle = .start(logger: .silent)
            // Without a handler it is no reason to end.
            send(SIGHUP)
            lifecycle.onReload {
                counts.begun.add(1, ordering: .sequentiallyConsistent)
                if counts.active.add(1, ordering: .sequentiallyConsistent).newValue > 1 { exit(3) }
                while !counts.mayEnd.load(ordering: .sequentiallyConsistent) {
                    try? await Task.sleep(for: .milliseconds(1))
                }
                counts.active.subtract(1, ordering: .sequentiallyConsistent)
            }
            do {
                try await eventually {
                    send(SIGHUP)
                    return counts.begun.load(ordering: .sequentiallyConsistent) == 1
                }
                // What comes while one runs is one more run, later.
                for _ in 0..<5 { send(SIGHUP) }
                counts.mayEnd.store(true, ordering: .sequentiallyConsistent)
                try await eventually { counts.begun.load(ordering: .sequentiallyConsistent) >= 2 }
            } catch {
                exit(4)
            }
            exit(42)
        }
    }

    @Test func aSecondLifecycleTraps() async {
        await #expect(processExitsWith: .failure) {
            boundChild()
            _ = Lifecycle.start(logger: .silent)
            _ = Lifecycle.start(logger: .silent)
        }
    }

    @Test func theProcessIsHardened() async {
        await #expect(processExitsWith: .exitCode(42)) {
            boundChild()
            ProcessHardening.apply(logger: .silent)
            var core = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &core)
            var files = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
            guard core.rlim_cur == 0, core.rlim_max == 0, clinux_is_dumpable() == 0 else { exit(3) }
            guard umask(0) == 0o077 else { exit(4) }
            guard files.rlim_cur == min(files.rlim_max, 1 << 20) || files.rlim_cur > 1 << 20 else { exit(5) }
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else { exit(6) }
            close(ends[0])
            guard write(ends[1], "x", 1) == -1, errno == EPIPE else { exit(7) }
            exit(42)
        }
    }
}

/// Ends a child that hangs, so that the test fails instead of waiting for ever.
private func boundChild() {
    alarm(30)
}

/// Sends a signal to the process as others do. (`raise` would send it to the calling thread, and the threads of the cooperative pool
/// block signals.)
private func send(_ number: Int32) {
    kill(getpid(), number)
}
