/// An answer that the gateway gives itself, with any status, fields and body.
///
/// The engine adds `Date` where there is none, `Content-Length` and what the connection needs; fields that frame a message are
/// left out. A client that asked with HEAD gets the head alone.
struct LocalAnswer: Sendable {
    var status: Int
    var fields: FieldLines
    /// Shared pieces: a stored answer is sent to many clients without a copy.
    var body: [[UInt8]]
    /// What records call it.
    var reason: RequestReason
    /// The first of the response's stages it goes through; those before it have had it already, or do not concern it.
    var enters: ResponseRank

    init(
        status: Int, fields: FieldLines = FieldLines(), body: [[UInt8]] = [], reason: RequestReason = .answered,
        enters: ResponseRank = .validation
    ) {
        self.status = status
        self.fields = fields
        self.body = body
        self.reason = reason
        self.enters = enters
    }

    /// Bytes of the body.
    var bodyCount: Int {
        var count: Int = 0
        for piece in self.body { count += piece.count }
        return count
    }
}

/// What a stage answers instead of a problem document when the exchange fails later: a stored answer, when the upstream is gone.
class AnswerFallback {
    init() {}

    /// The answer instead of the one that this reason has; nil: that one.
    func answer(for reason: RequestReason) -> LocalAnswer? { nil }
}
