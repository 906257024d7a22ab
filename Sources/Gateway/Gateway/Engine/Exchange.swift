import EventLoops
import HTTP

/// One request of a client and what became of it so far. A plain value inside its connection.
struct Exchange {
    /// Monotonic nanoseconds when its head was complete.
    var started: UInt64 = 0
    /// What is still to come of the request's body.
    var body: BodyFlow = BodyFlow()
    /// Bytes of the body that passed, as framed.
    var requestBytes: UInt64 = 0
    var responseBytes: UInt64 = 0
    var status: Int = 0
    var reason: RequestReason = .none

    /// Nanoseconds since 1970 when its head was complete.
    var startedWall: Int64 = 0
    /// Monotonic nanoseconds when the request's last byte went to the upstream; 0: not yet.
    var asked: UInt64 = 0
    /// From then to the response's head.
    var upstreamMicroseconds: UInt32 = 0
    /// The server it went to.
    var target: IdentityNumber = .none
    /// Its record was written.
    var isRecorded: Bool = false

    var method: MethodCode = .other
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    var minorVersion: UInt8 = 1
    /// The connection carries another request after this one.
    var keepsAlive: Bool = false
    /// Problem documents go out as text.
    var wantsText: Bool = false
    /// The final response's head is put together.
    var responseComposed: Bool = false
    /// Bytes of the final response went out: no other answer is possible.
    var responseStarted: Bool = false
    /// The upstream has no more to give; only `pending` keeps the exchange open.
    var responseDone: Bool = false
    /// The request asks to go on as a WebSocket.
    var isUpgrade: Bool = false
    /// The upstream agreed: bytes pass both ways until one side ends.
    var isTunnel: Bool = false
    /// Bytes of the response when a deadline of the client last passed.
    var responseBytesSeen: UInt64 = 0
    /// The request waits for `100 Continue` before it sends its body.
    var expectsContinue: Bool = false

    /// `Max-Forwards` of OPTIONS and TRACE: how many more may pass the request on; -1: it does not say.
    var forwardsLeft: Int32 = -1

    /// Bytes the client sent or took since its deadline was set.
    var progress: Int = 0

    /// Attempts left at other targets when nothing was sent.
    var attemptsLeft: UInt8 = 0
    /// Tries at targets so far; when the last one began, in monotonic nanoseconds.
    var attempts: UInt8 = 0
    var attemptStarted: UInt64 = 0
    /// How the last try failed, if it did: when, what was answered, why nothing was.
    var attemptEnded: UInt64 = 0
    var attemptStatus: UInt16 = 0
    var attemptReason: RequestReason = .none
    /// Was sent a second time, after a target had closed the connection.
    var isRepeated: Bool = false
    /// Bytes of a body the gateway sends itself (collected or replaced) that the upstream was not given yet.
    var outgoingLeft: Int = 0
    /// Monotonic nanoseconds when all of it has to be over; `.max`: never.
    var deadline: UInt64 = .max
    /// When the upstream has to have moved, whatever its time-outs say: the deadline, or an earlier one of this try.
    var limit: UInt64 = .max
    /// Its upstream asks for more than turns: `ClientConnection.steered` holds what goes on.
    var isSteered: Bool = false
    /// Bytes of the body left that may be dropped to save the connection.
    var discardLeft: UInt64 = 0

    var times: RouteTimeouts = RouteTimeouts.standard
    /// Bytes of the request's body at most, for one that did not say its length.
    var bodyMax: UInt64 = .max
    var marks: ReplayMarks = ReplayMarks()
    var forwarding: Forwarding = Forwarding()
    /// The trace the exchange belongs to; zero halves: none.
    var traceHigh: UInt64 = 0
    var traceLow: UInt64 = 0
    /// Its own span in the trace; 0: none yet, or requests are not traced.
    var span: UInt64 = 0
    /// The caller's span; 0: the trace begins here.
    var parentSpan: UInt64 = 0
    var isSampled: Bool = false

    // The three below live as long as the lease is held.

    /// The snapshot the exchange runs on; given back when it is over.
    var lease: Unmanaged<SnapshotLease>?
    /// The targets it may go to.
    var group: Unmanaged<UpstreamGroup>?
    var responseHeaders: Unmanaged<CompiledHeaderChanges>?

    init() {}

    /// All of the request's body was given to the upstream.
    var isRequestGiven: Bool { self.body.isDone && self.outgoingLeft == 0 }

    /// Begins now.
    init(_ events: EventLoop) {
        self.started = events.now
        self.startedWall = events.wallNow
    }

    /// A span of time as records keep it; at most an hour and eleven minutes.
    static func microseconds(from start: UInt64, to end: UInt64) -> UInt32 {
        end > start ? UInt32(clamping: (end - start) / 1000) : 0
    }
}

/// Where the parts of a request head stand that differ between targets, so that it can be sent to another one.
struct ReplayMarks {
    /// First byte of the path behind the target's base path.
    var pathStart: UInt16 = 0
    /// First byte of the base path: behind the method and its space.
    var baseStart: UInt16 = 0
    /// Behind the request line.
    var lineEnd: UInt16 = 0
    /// Behind the Host line the gateway wrote; equal to `lineEnd` when the client's own is kept.
    var hostEnd: UInt16 = 0
    /// From there to the span in `traceparent`; 0: there is none of ours.
    var span: UInt16 = 0
}
