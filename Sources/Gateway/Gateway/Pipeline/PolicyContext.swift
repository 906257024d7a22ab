import HTTP
import JSON
import TLS

/// What the stages of a route know of one exchange. One for each exchange on a route with a pipeline, taken from the loop's
/// pool; on the loop only.
///
/// The request's head is kept here, so `request` stays valid while the exchange waits and while its response passes.
final class PolicyContext {
    // MARK: For stages

    /// The request as the client sent it.
    private(set) var request: RequestView = RequestView(
        method: .other, host: UnsafeRawBufferPointer(start: nil, count: 0),
        path: UnsafeRawBufferPointer(start: nil, count: 0))
    private(set) var hasEncodedSlash: Bool = false
    /// Valid as long as the exchange runs on it: a newer one may be live.
    private(set) var snapshot: Snapshot
    private(set) var route: RouteIndex = RouteIndex(0)
    /// Monotonic and wall clock of this turn.
    var time: DecisionTime = DecisionTime(monotonic: 0, wallSeconds: 0)
    /// Whether the client's connection is encrypted.
    private(set) var isSecure: Bool = false

    /// Who calls, as limits count; set by authentication.
    var caller: Caller = .anonymous
    /// What the caller has proved; nil: nothing, or a key. Keeps alive what `caller` points to.
    var identity: VerifiedIdentity?
    /// How the caller was identified; nil: not at all.
    var method: AuthenticationMethod?
    /// The session of an encrypted connection, for the certificate of the client.
    private(set) var tls: TLSSession?
    /// Who calls, as a token or a directory names it; nil: nobody, or an application only.
    var subject: String?
    /// Scopes and groups of the caller.
    var scopes: [String] = []
    var groups: [String] = []
    /// The claims of a verified token.
    var claims: JSONValue?

    /// Another service has let the caller in, by what it was shown: the upstream may know the caller by it.
    var isVouchedFor: Bool = false
    /// The response carries something of this caller or request: nobody else may get it.
    var isResponsePersonal: Bool = false

    /// What the connection counts in; set on routes whose stages ask for it.
    var seats: ConnectionSeats?

    /// Changes to what goes upstream.
    var edits: RequestEdits = RequestEdits()
    /// The collected body; nil until a stage asked for it (`StageOutcome.needsBody`).
    private(set) var body: [UInt8]?
    /// The work the running stage had waited for; nil when it runs for the first time.
    private(set) var work: PolicyWork?

    /// Fields that every answer to this request carries, whoever gives it: the upstream, a cache, or a refusal. Those of the same
    /// name that the upstream sent are taken out.
    var answerFields: FieldLines = FieldLines()

    /// Members that the problem document of a refusal gets besides its own, `"name":value` with commas between; at most 8 KiB.
    var problemMembers: [UInt8] = []

    /// What to answer when the exchange fails from here on.
    var fallback: AnswerFallback?
    /// When the client goes away while the upstream works, the exchange goes on to its end, through all response stages.
    var outlivesClient: Bool = false

    /// With an answer of the stage's own: asks the upstream again, for nobody, after the answer. The closure prepares the
    /// context of that exchange; its response goes through the response stages.
    var refresh: ((PolicyContext) -> Void)?

    /// Things stages leave for later ones and for their own response stage, by the stage's type.
    private var notes: [ObjectIdentifier: AnyObject] = [:]

    // MARK: For the engine

    let base: UnsafeMutableRawPointer
    private let fields: UnsafeMutablePointer<HTTPField>
    private let fieldsMax: Int
    private(set) var head: HTTPRequestHead = HTTPRequestHead()
    /// Place of the stage that runs or waits.
    var stage: Int = 0
    /// Names the wait; 0: none.
    var ticket: UInt64 = 0
    /// Collected bytes are counted against the loop's bound.
    var collected: [UInt8] = []
    var collectMax: Int = 0
    var isCollecting: Bool = false
    /// The limits counted so far, while the exchange waits.
    var taken: [LimitPlace] = []
    /// The body that goes upstream from here, and how much of it has gone.
    var outgoing: [UInt8] = []
    var outgoingSent: Int = 0
    let chain: ResponseChain = ResponseChain()
    let queue: OutputBacklog = OutputBacklog()

    /// Heads with the largest header block and path.
    private static let headBytesMax: Int = 96 * 1024

    init(_ limits: HTTPLimits, snapshot: Snapshot) {
        self.snapshot = snapshot
        self.base = .allocate(byteCount: PolicyContext.headBytesMax, alignment: 16)
        self.fieldsMax = limits.fieldsMax
        self.fields = .allocate(capacity: limits.fieldsMax)
        self.fields.initialize(repeating: HTTPField(), count: limits.fieldsMax)
    }

    deinit {
        self.base.deallocate()
        self.fields.deallocate()
    }

    /// The stages of the route; nil between exchanges.
    private(set) var pipeline: RoutePipeline?

    /// The note an object left under its type.
    func note<Note: AnyObject>(_ type: Note.Type) -> Note? { self.notes[ObjectIdentifier(type)] as? Note }

    func setNote<Note: AnyObject>(_ note: Note) { self.notes[ObjectIdentifier(Note.self)] = note }

    /// The method as it was sent.
    var methodBytes: [UInt8] {
        Array(UnsafeRawBufferPointer(start: self.base + self.head.start, count: self.head.methodCount))
    }

    /// The rules of the route.
    var rules: RouteRules { self.snapshot.rules[self.route.value] }
    var compiledRoute: CompiledRoute { self.snapshot.route(at: self.route) }
    var api: CompiledAPI { self.snapshot.api(at: self.rules.api) }
}

extension PolicyContext {
    /// What an exchange begins with.
    struct Beginning {
        let bytes: UnsafeRawPointer
        let head: HTTPRequestHead
        let fields: UnsafeMutablePointer<HTTPField>
        let view: RequestView
        let hasEncodedSlash: Bool
        let snapshot: Snapshot
        let route: RouteIndex
        let pipeline: RoutePipeline
        let isSecure: Bool
        let tls: TLSSession?
    }

    /// Keeps the head; false when it does not fit, which the limits of the reader rule out.
    func begin(_ beginning: Beginning) -> Bool {
        let head: HTTPRequestHead = beginning.head
        let view: RequestView = beginning.view
        guard head.count + view.path.count <= PolicyContext.headBytesMax, head.fieldCount <= self.fieldsMax else {
            return false
        }
        self.base.copyMemory(from: beginning.bytes, byteCount: head.count)
        self.fields.update(from: beginning.fields, count: head.fieldCount)
        if let path: UnsafeRawPointer = view.path.baseAddress {
            (self.base + head.count).copyMemory(from: path, byteCount: view.path.count)
        }
        let base: UnsafeRawPointer = UnsafeRawPointer(self.base)
        self.head = head
        self.request = RequestView(
            method: view.method,
            host: UnsafeRawBufferPointer(start: base + head.host.lowerBound, count: head.host.count),
            path: UnsafeRawBufferPointer(start: base + head.count, count: view.path.count),
            query: UnsafeRawBufferPointer(start: base + head.query.lowerBound, count: head.query.count),
            fields: FieldTable(base: base, fields: UnsafeBufferPointer(start: self.fields, count: head.fieldCount)),
            remote: view.remote, contentLength: view.contentLength)
        self.hasEncodedSlash = beginning.hasEncodedSlash
        self.snapshot = beginning.snapshot
        self.route = beginning.route
        self.pipeline = beginning.pipeline
        self.isSecure = beginning.isSecure
        self.tls = beginning.tls
        return true
    }

    /// Takes the head and the caller of another exchange, for a request of the gateway's own to the same address.
    func begin(like other: PolicyContext) -> Bool {
        guard let pipeline: RoutePipeline = other.pipeline else { return false }
        let isKept: Bool = self.begin(
            Beginning(
                bytes: UnsafeRawPointer(other.base), head: other.head, fields: other.fields, view: other.request,
                hasEncodedSlash: other.hasEncodedSlash, snapshot: other.snapshot, route: other.route,
                pipeline: pipeline, isSecure: other.isSecure, tls: other.tls))
        self.identity = other.identity
        self.method = other.method
        self.caller = other.caller
        self.subject = other.subject
        self.edits = other.edits
        self.time = other.time
        return isKept
    }

    /// Puts the head back where the engine's readers leave it.
    func restore(_ head: inout HTTPRequestHead, _ table: HTTPFieldTable) {
        head = self.head
        table.fields.update(from: self.fields, count: self.head.fieldCount)
    }

    /// The work is over, or the stage has moved on.
    func setWork(_ work: PolicyWork?) { self.work = work }

    func finishCollecting() {
        self.isCollecting = false
        self.body = self.collected
    }

    /// Forgets the exchange; buffers stay for the next.
    func reset() {
        self.pipeline = nil
        self.caller = .anonymous
        self.identity = nil
        self.method = nil
        self.tls = nil
        self.seats = nil
        self.subject = nil
        if !self.scopes.isEmpty { self.scopes = [] }
        if !self.groups.isEmpty { self.groups = [] }
        self.claims = nil
        self.isVouchedFor = false
        self.isResponsePersonal = false
        self.edits.reset()
        self.body = nil
        self.work = nil
        self.answerFields.removeAll()
        if !self.problemMembers.isEmpty { self.problemMembers = [] }
        self.fallback = nil
        self.refresh = nil
        self.outlivesClient = false
        if !self.notes.isEmpty { self.notes.removeAll(keepingCapacity: true) }
        self.stage = 0
        self.ticket = 0
        self.collected = []
        self.isCollecting = false
        self.taken.removeAll(keepingCapacity: true)
        self.outgoing = []
        self.outgoingSent = 0
        self.chain.reset()
        self.queue.reset()
    }
}

/// The contexts of one loop that no exchange uses at the moment.
final class PolicyContextPool {
    /// Kept for the next exchange: 100 KiB each.
    private static let keptMax: Int = 64
    private var free: [PolicyContext] = []

    func take(_ limits: HTTPLimits, snapshot: Snapshot) -> PolicyContext {
        self.free.popLast() ?? PolicyContext(limits, snapshot: snapshot)
    }

    func give(_ context: PolicyContext) {
        context.reset()
        if self.free.count < PolicyContextPool.keptMax { self.free.append(context) }
    }
}
