import EventLoops
import GatewayConfiguration
import HTTP
import Synchronization

/// Sends copies of requests on a thread of its own, each on a connection of its own: whatever the mirror does, no client waits for it.
final class MirrorSender: Sendable {
    /// Bytes of an answer that are read before the connection is closed.
    private static let answerBytesMax: Int = 64 * 1024

    private enum State {
        /// No copy was sent yet.
        case unused
        case running(MirrorThread)
        case stopped
    }

    private let book: AddressBook
    private let contexts: TLSContextBook
    private let state: Mutex<State> = Mutex(.unused)

    init(book: AddressBook, contexts: TLSContextBook) {
        self.book = book
        self.contexts = contexts
    }

    /// Sends a copy for which a place was taken. Any thread; does not block.
    func send(_ bytes: [UInt8], isHead: Bool, to plan: MirrorPlan) {
        let thread: MirrorThread? = self.state.withLock { (state: inout State) -> MirrorThread? in
            switch state {
            case .running(let thread): return thread
            case .stopped: return nil
            case .unused:
                let thread: MirrorThread = MirrorThread()
                state = .running(thread)
                return thread
            }
        }
        guard let thread: MirrorThread else {
            plan.counts.inFlight.wrappingSubtract(1, ordering: .relaxed)
            return
        }
        thread.loop.execute { self.begin(bytes, isHead, plan, thread) }
    }

    /// Ends the thread, and with it the copies on their way. Any thread but its own.
    func stop() {
        let old: State = self.state.withLock { (state: inout State) -> State in
            let old: State = state
            state = .stopped
            return old
        }
        guard case .running(let thread) = old else { return }
        thread.loop.stop()
        thread.loop.join()
    }

    private func begin(_ bytes: [UInt8], _ isHead: Bool, _ plan: MirrorPlan, _ thread: MirrorThread) {
        let url: TargetURL = plan.definition.url
        guard let address: SocketAddress = self.book.address(plan.place).next(now: thread.loop.now)?.address else {
            MirrorSender.end(.failed("no address"), plan)
            return
        }
        let tls: TargetTLS? =
            url.scheme == .https ? TargetTLS(plan.tls, self.contexts.context(for: plan.tls), url) : nil
        let request: SideExchange.Request = SideExchange.Request(
            address: address, tls: tls, bytes: bytes, timeout: plan.timeout, isHead: isHead,
            bodyBytesMax: MirrorSender.answerBytesMax)
        SideExchange.start(request, on: thread.loop, table: thread.table) { MirrorSender.end($0, plan) }
    }

    private static func end(_ outcome: SideExchange.Outcome, _ plan: MirrorPlan) {
        plan.counts.inFlight.wrappingSubtract(1, ordering: .relaxed)
        switch outcome {
        case .answered, .connected: plan.counts.answered.wrappingAdd(1, ordering: .relaxed)
        case .failed: plan.counts.failed.wrappingAdd(1, ordering: .relaxed)
        }
    }
}

/// The loop that copies are sent on.
///
/// Sendable by this rule: the table is touched on the loop's thread only.
private final class MirrorThread: @unchecked Sendable {
    let loop: EventLoop = EventLoop.start(name: "mirror")
    let table: HTTPFieldTable = HTTPFieldTable(limits: .standard)
}
