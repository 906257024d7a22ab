import Crypto
import GatewayConfiguration
import HTTP
import Synchronization

/// Asks a service about each request: 2xx lets it pass, 401 and 403 are given to the client, anything else is a failure.
///
/// The service gets GET with the fields it is to see and, about the request, `X-Original-Method`, `X-Original-Host`,
/// `X-Original-URI` and `X-Forwarded-For`; never the body. The call is made away from the loop, so many at once at most.
final class ExternalAuthorizationStage: RequestStage, @unchecked Sendable {
    // Safe to share: constants, an atomic, and decisions behind their lock.
    private let policy: ExternalAuthorizationPolicy
    private let url: URLParts?
    /// Of the fields that only the service may set.
    private let reserved: [[UInt8]]
    private let client: HTTPClient
    private let calls: Atomic<Int> = Atomic(0)
    private let decisions: Mutex<[[UInt8]: KeptDecision]> = Mutex([:])

    private struct KeptDecision {
        let verdict: ExternalVerdict
        let expires: UInt64
    }

    /// Decisions kept at most; beyond, all are forgotten.
    private static let decisionsMax: Int = 8192

    init(_ policy: ExternalAuthorizationPolicy, client: HTTPClient) {
        self.policy = policy
        self.url = URLParts(policy.url)
        self.reserved = policy.passes.map { Array($0.utf8) }
        self.client = client
        super.init(rank: .externalAuthorization)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        let now: UInt64 = context.time.monotonic
        if let call: ExternalCall = context.work as? ExternalCall {
            self.calls.wrappingSubtract(1, ordering: .relaxed)
            let verdict: ExternalVerdict = call.verdict
            if self.policy.keptFor > .zero, verdict.isDecision { self.keep(call.key, verdict, now: now) }
            return self.apply(verdict, request, context, &decision)
        }
        let key: [UInt8] = self.policy.keptFor > .zero ? self.key(request, context) : []
        if !key.isEmpty, let verdict: ExternalVerdict = self.kept(key, now: now) {
            return self.apply(verdict, request, context, &decision)
        }
        guard let url: URLParts = self.url,
            self.calls.wrappingAdd(1, ordering: .relaxed).newValue <= self.policy.callsMax
        else {
            if self.url != nil { self.calls.wrappingSubtract(1, ordering: .relaxed) }
            return self.apply(.failed, request, context, &decision)
        }
        return .suspend(
            ExternalCall(
                self.question(request, url, context), key: key, passes: self.policy.passes, client: self.client,
                count: self))
    }

    /// The exchange ended while the service was asked.
    func callEnded() { self.calls.wrappingSubtract(1, ordering: .relaxed) }

    private func apply(
        _ verdict: ExternalVerdict, _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        // Also when it fails open: what the client says of itself is not what the service would have said.
        context.edits.reserve(self.reserved, from: request.fields)
        switch verdict {
        case .allowed(let fields):
            for (name, value) in fields { context.edits.addField(name, value) }
            context.isVouchedFor = !fields.isEmpty || self.showsSomething(of: request)
            return .next
        case .denied(let answer): return .answer(answer)
        case .failed: return self.policy.failsOpen ? .next : decision.refuse(.policyUnavailable)
        }
    }

    private func question(_ request: RequestView, _ url: URLParts, _ context: PolicyContext) -> HTTPClientRequest {
        var fields: HTTPFields = HTTPFields()
        for name in self.policy.shows {
            for index in 0..<request.fields.count where self.isNamed(name, request.fields, index) {
                fields.append(name, String(decoding: request.fields.value(at: index), as: UTF8.self))
            }
        }
        var target: String = String(decoding: request.path, as: UTF8.self)
        if request.query.count > 0 { target += "?" + String(decoding: request.query, as: UTF8.self) }
        fields.set("x-original-method", request.method == .other ? "OTHER" : "\(request.method.name)")
        fields.set("x-original-host", String(decoding: request.host, as: UTF8.self))
        fields.set("x-original-uri", target)
        fields.set("x-forwarded-for", request.remote.text)
        var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
        timeouts.connect = self.policy.timeout
        timeouts.response = self.policy.timeout
        timeouts.body = self.policy.timeout
        timeouts.total = self.policy.timeout
        return HTTPClientRequest(method: .get, url: url, fields: fields, timeouts: timeouts)
    }

    /// Whether the request has a field that the service is shown, a cookie for example.
    private func showsSomething(of request: RequestView) -> Bool {
        self.policy.shows.contains { name in
            (0..<request.fields.count).contains { self.isNamed(name, request.fields, $0) }
        }
    }

    private func isNamed(_ name: String, _ fields: FieldTable, _ index: Int) -> Bool {
        var name: String = name
        return name.withUTF8 { (wanted: UnsafeBufferPointer<UInt8>) -> Bool in
            fields.index(of: UnsafeRawBufferPointer(wanted), from: index) == index
        }
    }

    /// A fingerprint of all that the service would see.
    private func key(_ request: RequestView, _ context: PolicyContext) -> [UInt8] {
        var hasher: SHA256Context = SHA256Context()
        hasher.update([request.method.rawValue])
        hasher.update(request.host)
        hasher.update([0])
        hasher.update(request.path)
        hasher.update([0])
        hasher.update(request.query)
        hasher.update([0])
        hasher.update(Array("\(request.remote.high),\(request.remote.low)".utf8))
        for name in self.policy.shows {
            for index in 0..<request.fields.count where self.isNamed(name, request.fields, index) {
                hasher.update(Array(name.utf8))
                hasher.update([0])
                hasher.update(request.fields.value(at: index))
                hasher.update([0])
            }
        }
        return hasher.finish()
    }

    private func kept(_ key: [UInt8], now: UInt64) -> ExternalVerdict? {
        self.decisions.withLock { (decisions: inout [[UInt8]: KeptDecision]) -> ExternalVerdict? in
            guard let kept: KeptDecision = decisions[key] else { return nil }
            if kept.expires > now { return kept.verdict }
            decisions[key] = nil
            return nil
        }
    }

    private func keep(_ key: [UInt8], _ verdict: ExternalVerdict, now: UInt64) {
        self.decisions.withLock { (decisions: inout [[UInt8]: KeptDecision]) in
            if decisions.count >= ExternalAuthorizationStage.decisionsMax { decisions.removeAll() }
            decisions[key] = KeptDecision(verdict: verdict, expires: now &+ self.policy.keptFor.nanoseconds)
        }
    }
}

/// What a service said about a request.
enum ExternalVerdict: Sendable {
    /// It may pass, with these fields.
    case allowed([(name: String, value: String)])
    case denied(LocalAnswer)
    /// It said nothing that is a decision.
    case failed

    var isDecision: Bool {
        if case .failed = self { return false }
        return true
    }
}

/// One question to the service.
final class ExternalCall: PolicyWork, @unchecked Sendable {
    // Safe to share: constants, and the state behind its lock.
    private struct State {
        var verdict: ExternalVerdict = .failed
        var task: Task<Void, Never>?
        var isCancelled: Bool = false
    }

    private let request: HTTPClientRequest
    let key: [UInt8]
    private let passes: [String]
    private let client: HTTPClient
    private let count: ExternalAuthorizationStage
    private let state: Mutex<State> = Mutex(State())

    /// Bytes of a refusal's body that are given to the client.
    private static let bodyBytesMax: Int = 64 << 10
    /// Fields of a refusal that are.
    private static let refusalFields: [String] = [
        "content-type", "www-authenticate", "location", "set-cookie", "retry-after",
    ]

    init(
        _ request: HTTPClientRequest, key: [UInt8], passes: [String], client: HTTPClient,
        count: ExternalAuthorizationStage
    ) {
        self.request = request
        self.key = key
        self.passes = passes
        self.client = client
        self.count = count
    }

    var verdict: ExternalVerdict { self.state.withLock { $0.verdict } }

    override func start(_ done: @escaping @Sendable () -> Void) {
        let task: Task<Void, Never> = Task {
            let verdict: ExternalVerdict = await self.ask()
            self.state.withLock { $0.verdict = verdict }
            done()
        }
        let isCancelled: Bool = self.state.withLock { (state: inout State) -> Bool in
            state.task = task
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    override func cancel() {
        let task: Task<Void, Never>? = self.state.withLock { (state: inout State) -> Task<Void, Never>? in
            if state.isCancelled { return nil }
            state.isCancelled = true
            return state.task
        }
        task?.cancel()
        self.count.callEnded()
    }

    private func ask() async -> ExternalVerdict {
        do {
            let response: HTTPClientResponse = try await self.client.send(self.request)
            if response.isSuccess {
                var fields: [(name: String, value: String)] = []
                for line in response.fields where self.passes.contains(line.name.lowercased()) {
                    fields.append((name: line.name, value: line.value))
                }
                _ = try await response.body.collect(max: ExternalCall.bodyBytesMax)
                return .allowed(fields)
            }
            guard response.status == 401 || response.status == 403 else { return .failed }
            let body: [UInt8] = try await response.body.collect(max: ExternalCall.bodyBytesMax)
            var answer: LocalAnswer = LocalAnswer(
                status: response.status, body: body.isEmpty ? [] : [body], reason: .authorizationDenied)
            for line in response.fields where ExternalCall.refusalFields.contains(line.name.lowercased()) {
                answer.fields.add(line.name, line.value)
            }
            return .denied(answer)
        } catch {
            return .failed
        }
    }
}
