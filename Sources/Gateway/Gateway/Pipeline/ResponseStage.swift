/// A policy on the response's way, made when the snapshot is compiled; one final class for each kind. The rules of
/// `RequestStage` hold for it.
class ResponseStage: @unchecked Sendable {
    // Safe to share: subclasses hold constants, or guard what changes themselves.
    let rank: ResponseRank

    init(rank: ResponseRank) { self.rank = rank }

    /// Another answer instead of the upstream's, of which only the head is known: a stored one that was found valid (304), or
    /// one to use when the upstream fails (5xx). Not asked for answers of the gateway itself.
    func replacement(for head: ResponseHead, _ context: PolicyContext) -> LocalAnswer? { nil }

    /// What goes on with this response; nil when the policy does not concern it.
    func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? { nil }
}

/// Changes or watches one response as it passes: its head, then pieces of the decoded body, then its end. On the loop.
///
/// The engine frames what comes out: with the length where it is still known, in chunks otherwise, until the connection's end
/// for a client of HTTP/1.0. Neither body nor end is called with bytes for a response that has none (HEAD, 204, 304).
class ResponseFilter {
    /// Whether the body that goes out may be another one than comes in. One that only looks (a cache) says false and writes
    /// nothing: the bytes go on without a copy.
    var transformsBody: Bool { false }

    init() {}

    /// Changes the head.
    func head(_ head: ResponseHead) -> HeadOutcome { .pass }

    /// A piece of the body, valid during the call.
    func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {}

    /// The body is complete.
    func end(_ out: inout FilterOutput) {}

    /// The response ended before its end: the upstream or the client went away, or another filter refused it.
    func abandoned() {}

    enum HeadOutcome {
        case pass
        /// The head waits until this filter calls `out.releaseHead()`, at the latest at the end: it wants to see the body, or a
        /// part of it, first. It may change the head until then, and keeps to a limit of bytes of its own.
        case hold
    }
}

/// Where a filter writes what goes on.
struct FilterOutput {
    /// What the filter wrote in this call.
    var bytes: [UInt8] = []
    private(set) var releasesHead: Bool = false
    private(set) var failure: RequestReason = .none

    /// Lets the head go that this filter held.
    mutating func releaseHead() { self.releasesHead = true }

    /// Ends the response: the client gets this answer when nothing went out yet, else a broken connection.
    mutating func fail(_ reason: RequestReason) { self.failure = reason }

    mutating func append(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }

    mutating func append(_ bytes: [UInt8]) { self.bytes.append(contentsOf: bytes) }

    mutating func clear() {
        self.bytes.removeAll(keepingCapacity: true)
        self.releasesHead = false
        self.failure = .none
    }
}

/// A response's head as stages see and change it. Fields that frame the message or belong to one connection are not in it.
final class ResponseHead {
    var status: Int = 200
    /// The reason phrase as it came; nil: the usual one of the status.
    var phrase: [UInt8]?
    var fields: FieldLines = FieldLines()
    /// The body's length as the head declares it, also to HEAD and with 304, where no body comes.
    var declaredLength: UInt64?
    /// No body follows, whatever the length says: an answer to HEAD, 204 or 304.
    var isBodyless: Bool = false
    /// It came from the upstream, not from the gateway.
    var isFromUpstream: Bool = true

    init() {}

    func reset() {
        self.status = 200
        self.phrase = nil
        self.fields.removeAll()
        self.declaredLength = nil
        self.isBodyless = false
        self.isFromUpstream = true
    }
}
