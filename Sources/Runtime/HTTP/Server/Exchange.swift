/// One request and its response, as their connection keeps them. Owned by the connection's loop; what never changes may be
/// read by the handler's task.
final class Exchange: @unchecked Sendable {
    // Sendable by this rule: the `let`s are for any thread, the `var`s for the connection's loop only.
    let isHead: Bool
    let minorVersion: UInt8

    var task: Task<Void, Never>?
    /// The request's body while more of it may come and the handler has a stream of it.
    var stream: BodyStream<HTTPError>?
    var writer: ResponseWriter?
    var drainFlag: DrainFlag?
    /// Whether the connection lives on after this exchange, as far as is known.
    var keepsAlive: Bool
    /// The client waits for `100 Continue` before it sends the body.
    var awaitsContinue: Bool
    var hasResponseHead: Bool = false
    /// All of the response is in the output queue.
    var isAnswered: Bool = false
    var endsWhenDraining: Bool = false

    init(_ head: HTTPRequestHead) {
        self.isHead = head.method == .head
        self.minorVersion = head.minorVersion
        self.keepsAlive = head.keepsAlive
        self.awaitsContinue = head.flags.contains(.expectsContinue)
    }

    /// For an answer to something that never became a request.
    init() {
        self.isHead = false
        self.minorVersion = 1
        self.keepsAlive = false
        self.awaitsContinue = false
    }
}
