import GatewayConfiguration
import HTTP
import Synchronization

@testable import Gateway

extension LiveState {
    /// A live state whose gateways run these stages on every route.
    static func with(_ requests: [RequestStage] = [], responses: [ResponseStage] = []) -> LiveState {
        LiveState(
            subjectsMax: 1024,
            stageExtension: StageExtension { (_: APIDefinition, _: RouteDefinition, stages: inout StageList) in
                stages.requests += requests
                stages.responses += responses
            })
    }
}

/// A stage that does what a closure says.
final class ClosureStage: RequestStage, @unchecked Sendable {
    private let body: @Sendable (RequestView, PolicyContext, inout Decision) -> StageOutcome

    init(
        _ rank: RequestRank = .transformation,
        _ body: @escaping @Sendable (RequestView, PolicyContext, inout Decision) -> StageOutcome
    ) {
        self.body = body
        super.init(rank: rank)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome { self.body(request, context, &decision) }
}

/// Waits until a test says that the work is done.
final class ManualWork: PolicyWork, @unchecked Sendable {
    // Safe to share: everything is behind the lock or atomic.
    private let waiting: Mutex<(@Sendable () -> Void)?> = Mutex(nil)
    private let cancelled: Atomic<Bool> = Atomic(false)
    private let limit: UInt64

    init(timeout: UInt64 = 600_000_000_000) { self.limit = timeout }

    override var timeout: UInt64 { self.limit }
    override func start(_ done: @escaping @Sendable () -> Void) { self.waiting.withLock { $0 = done } }
    override func cancel() { self.cancelled.store(true, ordering: .relaxed) }

    var isStarted: Bool { self.waiting.withLock { $0 != nil } }
    var isCancelled: Bool { self.cancelled.load(ordering: .relaxed) }
    func finish() { self.waiting.withLock { $0 }?() }
}

/// A response stage that makes the filter a closure gives.
final class FilterStage: ResponseStage, @unchecked Sendable {
    private let make: @Sendable (ResponseHead, PolicyContext) -> ResponseFilter?

    init(
        _ rank: ResponseRank = .transformation,
        _ make: @escaping @Sendable (ResponseHead, PolicyContext) -> ResponseFilter?
    ) {
        self.make = make
        super.init(rank: rank)
    }

    override func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? {
        self.make(head, context)
    }
}

/// Makes every letter of the body upper case, and says so in a field.
final class UpperCase: ResponseFilter {
    private let holds: Bool
    private var held: [UInt8] = []

    init(holds: Bool = false) { self.holds = holds }

    override var transformsBody: Bool { true }

    override func head(_ head: ResponseHead) -> HeadOutcome {
        head.fields.set("X-Filter", "upper")
        return self.holds ? .hold : .pass
    }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        let upper: [UInt8] = bytes.map { $0 >= 0x61 && $0 <= 0x7A ? $0 & 0xDF : $0 }
        if self.holds { self.held += upper } else { out.append(upper) }
    }

    override func end(_ out: inout FilterOutput) { out.append(self.held) }
}

/// Looks at the body as it passes.
final class Watcher: ResponseFilter {
    private let seen: Mutexed<String>

    init(_ seen: Mutexed<String>) { self.seen = seen }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        self.seen.change { $0 += String(decoding: bytes, as: UTF8.self) }
    }

    override func end(_ out: inout FilterOutput) { self.seen.change { $0 += "|end" } }
    override func abandoned() { self.seen.change { $0 += "|abandoned" } }
}

/// A value that the threads of a test share.
final class Mutexed<Value: Sendable>: Sendable {
    private let guarded: Mutex<Value>

    init(_ value: Value) { self.guarded = Mutex(value) }

    var value: Value { self.guarded.withLock { $0 } }
    func change(_ body: (inout Value) -> Void) { self.guarded.withLock { body(&$0) } }
}
