import Synchronization

/// Commands of many callers in few round trips: those that come while one is under way go together with the next.
package final class RedisPipeline: Sendable {
    private struct Call: Sendable {
        let commands: [[[UInt8]]]
        let bytes: Int
        let caller: CheckedContinuation<[RedisReply], any Error>
    }

    private struct State: Sendable {
        var waiting: [Call] = []
        var isBusy: Bool = false
    }

    /// Calls that wait; the next one is refused.
    package static let waitingMax: Int = 4096
    /// What goes together: calls, and about so many bytes.
    static let callsMax: Int = 256
    static let bytesMax: Int = 4 << 20

    private let client: RedisClient
    private let state: Mutex<State> = Mutex(State())

    package init(_ client: RedisClient) { self.client = client }

    /// Sends the commands of one call, one behind the other, and returns their replies. An error reply is a reply.
    package func send(_ commands: [[[UInt8]]]) async throws -> [RedisReply] {
        var bytes: Int = 0
        for command in commands { for argument in command { bytes += argument.count } }
        let size: Int = bytes
        return try await withCheckedThrowingContinuation { caller in
            let call: Call = Call(commands: commands, bytes: size, caller: caller)
            let (isRefused, begins): (Bool, Bool) = self.state.withLock { state in
                if state.waiting.count >= Self.waitingMax { return (true, false) }
                state.waiting.append(call)
                defer { state.isBusy = true }
                return (false, !state.isBusy)
            }
            if isRefused { caller.resume(throwing: RedisError.unavailable("\(Self.waitingMax) calls wait already")) }
            if begins { Task { await self.work() } }
        }
    }

    /// Sends what waits until nothing does.
    private func work() async {
        while let calls: [Call] = self.next() {
            do {
                let replies: [RedisReply] = try await self.client.send(calls.flatMap { $0.commands })
                var start: Int = 0
                for call in calls {
                    call.caller.resume(returning: Array(replies[start..<(start + call.commands.count)]))
                    start += call.commands.count
                }
            } catch {
                for call in calls { call.caller.resume(throwing: error) }
            }
        }
    }

    /// Takes the calls that go together next; nil: nothing waits, and nobody works.
    private func next() -> [Call]? {
        self.state.withLock { state in
            var (count, bytes): (Int, Int) = (0, 0)
            while count < min(Self.callsMax, state.waiting.count), count == 0 || bytes < Self.bytesMax {
                bytes += state.waiting[count].bytes
                count += 1
            }
            guard count > 0 else {
                state.isBusy = false
                return nil
            }
            let calls: [Call] = Array(state.waiting[..<count])
            state.waiting.removeFirst(count)
            return calls
        }
    }
}
