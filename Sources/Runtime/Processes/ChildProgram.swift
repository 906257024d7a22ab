import CLinux
import Glibc
import Synchronization

/// Runs another program to its end, without a shell: its arguments arrive as they are given.
///
/// On a thread of its own, because waiting blocks. The program gets no input, none of our descriptors, default signals, and of our
/// environment what is handed on by name. One that takes too long is killed with all it has started.
package enum ChildProgram {
    /// How it ended and what it said.
    package struct Outcome: Sendable {
        /// 0 to 255; negative: the signal that ended it.
        package let status: Int32
        /// The beginning of what it wrote to both outputs.
        package let output: String
    }

    package enum Failure: Error, Sendable, CustomStringConvertible {
        case cannotStart(String, code: Int32)
        case timedOut(String, after: Duration)

        package var description: String {
            switch self {
            case .cannotStart(let name, let code): "\(name) cannot be started: \(String(cString: strerror(code)))"
            case .timedOut(let name, let time): "\(name) did not end within \(time)"
            }
        }
    }

    /// Bytes of output kept; the rest is read and thrown away.
    package static let outputBytesMax: Int = 16 << 10
    /// What is handed on of our environment, where it is set.
    private static let inherited: [String] = ["PATH", "HOME", "LANG", "TMPDIR", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND"]

    /// - Parameters:
    ///   - name: found on the `PATH`.
    ///   - environment: `NAME=VALUE`, beside what is inherited.
    package static func run(
        _ name: String, _ arguments: [String], environment: [String] = [], within time: Duration
    ) async throws -> Outcome {
        try await withCheckedThrowingContinuation { (caller: CheckedContinuation<Outcome, any Error>) in
            let job: Job = Job(name: name, arguments: arguments, environment: environment, time: time, caller: caller)
            var thread: pthread_t = pthread_t()
            let context: Unmanaged<Job> = Unmanaged.passRetained(job)
            let code: Int32 = pthread_create(
                &thread, nil,
                { context in
                    guard let context else { return nil }
                    Unmanaged<Job>.fromOpaque(context).takeRetainedValue().run()
                    return nil
                }, context.toOpaque())
            guard code == 0 else {
                context.release()
                return caller.resume(throwing: Failure.cannotStart(name, code: code))
            }
            pthread_detach(thread)
        }
    }

    private final class Job: Sendable {
        let name: String
        let arguments: [String]
        let environment: [String]
        let time: Duration
        let caller: CheckedContinuation<Outcome, any Error>

        init(
            name: String, arguments: [String], environment: [String], time: Duration,
            caller: CheckedContinuation<Outcome, any Error>
        ) {
            self.name = name
            self.arguments = arguments
            self.environment = environment
            self.time = time
            self.caller = caller
        }

        func run() {
            do throws(Failure) {
                let (pid, output): (pid_t, Int32) = try self.start()
                let (bytes, isOver): ([UInt8], Bool) = self.read(output)
                close(output)
                // The group: whatever it has started goes with it.
                if !isOver { _ = kill(-pid, SIGKILL) }
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
                guard isOver else { throw .timedOut(self.name, after: self.time) }
                let signal: Int32 = status & 0x7f
                self.caller.resume(
                    returning: Outcome(
                        status: signal == 0 ? (status >> 8) & 0xff : -signal,
                        output: String(decoding: bytes, as: UTF8.self)))
            } catch {
                self.caller.resume(throwing: error)
            }
        }

        private func start() throws(Failure) -> (pid_t, Int32) {
            var arguments: [UnsafeMutablePointer<CChar>?] = ([self.name] + self.arguments).map { strdup($0) } + [nil]
            var environment: [UnsafeMutablePointer<CChar>?] =
                (Self.inheritedNow() + self.environment).map { strdup($0) } + [nil]
            defer { for text in arguments + environment { free(text) } }
            var process: Int32 = 0
            var output: Int32 = -1
            let code: Int32 = clinux_spawn(self.name, &arguments, &environment, &process, &output)
            guard code == 0 else { throw .cannotStart(self.name, code: code) }
            return (process, output)
        }

        private static func inheritedNow() -> [String] {
            var found: [String] = []
            for name in ChildProgram.inherited {
                if let value: UnsafeMutablePointer<CChar> = getenv(name) {
                    found.append("\(name)=\(String(cString: value))")
                }
            }
            return found
        }

        /// Until all who can write have ended, or the time is over.
        private func read(_ descriptor: Int32) -> (bytes: [UInt8], isOver: Bool) {
            let parts: (seconds: Int64, attoseconds: Int64) = self.time.components
            let limit: UInt64 = UInt64(parts.seconds) * 1_000_000_000 + UInt64(parts.attoseconds / 1_000_000_000)
            let end: UInt64 = clinux_monotonic_nanoseconds() + limit
            var kept: [UInt8] = []
            var buffer: [UInt8] = [UInt8](repeating: 0, count: 4096)
            while true {
                let now: UInt64 = clinux_monotonic_nanoseconds()
                if now >= end { return (kept, false) }
                var entry: pollfd = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                let milliseconds: UInt64 = (end - now) / 1_000_000 + 1
                let ready: Int32 = poll(&entry, 1, Int32(clamping: milliseconds))
                if ready < 0 && errno != EINTR { return (kept, false) }
                if ready <= 0 { continue }
                let count: Int = Glibc.read(descriptor, &buffer, buffer.count)
                if count == 0 { return (kept, true) }
                if count < 0 && errno != EINTR { return (kept, false) }
                if count > 0 { kept += buffer[..<min(count, max(0, ChildProgram.outputBytesMax - kept.count))] }
            }
        }
    }
}
