import CLinux
import EventLoops
import Synchronization

/// Calls servers of others: each with its time-outs, a circuit breaker for each server, and repetitions where they are harmless.
///
/// A call that may be repeated is tried up to `attemptsMax` times when the connection failed or the server answered 502, 503 or 504,
/// after pauses that double, each of random length up to that (full jitter), as long as `patience` allows. A server that failed
/// `CircuitBreaker.failuresMax` times in a row is not called for a while: calls fail at once, and say so.
package final class GuardedClient: Sendable {
    package static let attemptsMax: Int = 3
    /// Longest pause before the first repetition; doubles.
    static let pauseFirst: Duration = .milliseconds(100)
    /// How long repetitions may still begin after a call began.
    static let patience: Duration = .seconds(5)
    /// Servers whose failures are remembered.
    static let serversMax: Int = 256

    /// What came back, whole.
    package struct Answer: Sendable {
        package let status: Int
        package let fields: HTTPFields
        package let bytes: [UInt8]
    }

    /// How a server has fared.
    package struct Circuit: Sendable {
        /// `host:port`.
        package let server: String
        package let isOpen: Bool
        /// In a row, until now.
        package let failures: Int
    }

    private let client: HTTPClient
    private let trialNanoseconds: UInt64
    private let circuits: Mutex<[Origin: CircuitBreaker]> = Mutex([:])

    package init(_ client: HTTPClient) {
        self.client = client
        self.trialNanoseconds = (client.core.configuration.timeouts.total ?? .seconds(60)).clampedNanoseconds
    }

    /// Every server whose last call failed.
    package var failing: [Circuit] {
        self.circuits.withLock { circuits in
            circuits.map {
                Circuit(server: "\($0.key.host):\($0.key.port)", isOpen: $0.value.isOpen, failures: $0.value.failures)
            }
        }.sorted { $0.server < $1.server }
    }

    /// - Parameters:
    ///   - bytesMax: of the body.
    ///   - mayRepeat: whether doing it twice is as good as doing it once. Default: where HTTP says so of the method.
    package func send(
        _ request: HTTPClientRequest, bytesMax: Int, mayRepeat: Bool? = nil
    ) async throws(HTTPClientError) -> Answer {
        let attempts: Int = mayRepeat ?? request.method.isIdempotent ? Self.attemptsMax : 1
        let began: UInt64 = clinux_monotonic_nanoseconds()
        var attempt: Int = 1
        while true {
            let failure: HTTPClientError
            do throws(HTTPClientError) {
                let answer: Answer = try await self.attempt(request, bytesMax: bytesMax)
                guard Self.isAway(answer.status), attempt < attempts else { return answer }
                guard await self.pause(after: attempt, since: began) else { return answer }
                attempt += 1
                continue
            } catch {
                failure = error
            }
            if case .circuitOpen = failure { throw failure }
            guard failure.isTransient, attempt < attempts, await self.pause(after: attempt, since: began) else {
                throw failure
            }
            attempt += 1
        }
    }

    private func attempt(_ request: HTTPClientRequest, bytesMax: Int) async throws(HTTPClientError) -> Answer {
        let origin: Origin = Origin(scheme: request.url.scheme, host: request.url.host, port: request.url.port)
        let trial: UInt64 = self.trialNanoseconds
        let wait: UInt64? = self.circuits.withLock {
            $0[origin]?.admit(now: clinux_monotonic_nanoseconds(), trial: trial)
        }
        if let wait: UInt64 {
            throw .circuitOpen(server: "\(origin.host):\(origin.port)", retrySeconds: Int(wait / 1_000_000_000) + 1)
        }
        do throws(HTTPClientError) {
            let response: HTTPClientResponse = try await self.client.send(request)
            let bytes: [UInt8] = try await response.body.collect(max: bytesMax)
            self.note(origin, !Self.isAway(response.status))
            return Answer(status: response.status, fields: response.fields, bytes: bytes)
        } catch {
            self.note(origin, error.saysServerIsAway ? false : nil)
            throw error
        }
    }

    private static func isAway(_ status: Int) -> Bool { status == 502 || status == 503 || status == 504 }

    /// - Parameter isWell: nil: the call says nothing about the server.
    private func note(_ origin: Origin, _ isWell: Bool?) {
        let now: UInt64 = clinux_monotonic_nanoseconds()
        self.circuits.withLock { circuits in
            switch isWell {
            case true: circuits.removeValue(forKey: origin)
            case nil: circuits[origin]?.saidNothing()
            default:
                // Beyond so many the one that fails the longest is not what fills memory: any goes.
                if circuits[origin] == nil, circuits.count >= Self.serversMax, let other: Origin = circuits.keys.first {
                    circuits.removeValue(forKey: other)
                }
                circuits[origin, default: CircuitBreaker()].failed(now: now)
            }
        }
    }

    /// Waits before a repetition. - Returns: false when there is no time for one.
    private func pause(after attempt: Int, since began: UInt64) async -> Bool {
        let longest: UInt64 = Self.pauseFirst.clampedNanoseconds << UInt64(attempt - 1)
        let pause: UInt64 = UInt64.random(in: 0...longest)
        let elapsed: UInt64 = clinux_monotonic_nanoseconds() - began
        guard elapsed + pause < Self.patience.clampedNanoseconds else { return false }
        return (try? await Task.sleep(for: .nanoseconds(Int64(clamping: pause)))) != nil
    }
}

extension HTTPClientError {
    /// Whether it is a sign that the server is not there, or too slow: not our own doing, nor what we asked for.
    fileprivate var saysServerIsAway: Bool {
        switch self {
        case .unresolved, .connectFailed, .timedOut, .closedBeforeResponse, .truncated, .tls, .malformedResponse: true
        case .invalidRequest, .forbidden, .bodyTooLarge, .overloaded, .cancelled, .shutDown, .circuitOpen: false
        }
    }
}
