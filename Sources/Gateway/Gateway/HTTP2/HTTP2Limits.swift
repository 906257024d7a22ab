import Synchronization

/// What one HTTP/2 connection may ask of us. Each limit has a counter that says how often it was met.
enum HTTP2Limits {
    /// Streams a client may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS).
    static let streamsMax: UInt32 = 128
    /// Bytes of bodies that may be on their way to us and not used: of one stream, and of all streams of a connection.
    static let streamWindowBytes: Int32 = 128 * 1024
    static let connectionWindowBytes: Int32 = 1024 * 1024
    /// Bytes of a stream's body that wait to be sent; with more, whoever makes them waits.
    static let outputBytesMax: Int = 64 * 1024
    /// Frames that go on with one header block.
    static let continuationsMax: Int = 8
    /// A header list of so many times the size that is answered with 431 ends the connection.
    static let headerListFactor: Int = 8
    /// Acknowledgements that wait to be taken by the peer.
    static let waitingAcknowledgementsMax: Int = 1000
    /// Settings in one SETTINGS frame.
    static let settingsPerFrameMax: Int = 32
    /// How long a stream's output may wait for a window or a full socket without a byte moving.
    static let stallTimeout: UInt64 = 60_000_000_000
    /// How often a connection with streams is looked at.
    static let watchInterval: UInt64 = 5_000_000_000
}

/// Ways to make work or hold memory that cost the peer little. Also what ends a connection that breaks the protocol.
enum HTTP2Abuse: Int, CaseIterable {
    case rapidReset, settingsFlood, pingFlood, priorityFlood, windowUpdateFlood, emptyDataFlood
    case headerBlock, headerList, stalledStream, protocolError

    /// As the counter's label names it.
    var label: String {
        switch self {
        case .rapidReset: "rapid_reset"
        case .settingsFlood: "settings_flood"
        case .pingFlood: "ping_flood"
        case .priorityFlood: "priority_flood"
        case .windowUpdateFlood: "window_update_flood"
        case .emptyDataFlood: "empty_data_flood"
        case .headerBlock: "header_block"
        case .headerList: "header_list"
        case .stalledStream: "stalled_stream"
        case .protocolError: "protocol_error"
        }
    }
}

/// Counts what a peer does that moves nothing, over spans of ten seconds. A plain rule: told the time, it says when it is too much.
struct HTTP2FloodGuard {
    enum Event: Int, CaseIterable {
        /// A stream that ended early, whoever reset it.
        case reset
        case settings
        case ping
        case priority
        case windowUpdate
        /// DATA without a byte that does not end its stream.
        case emptyData

        /// How many in one span.
        var limit: UInt32 {
            switch self {
            case .reset: 500
            case .settings: 100
            case .ping: 5_000
            case .priority: 10_000
            case .windowUpdate: 200_000
            case .emptyData: 1_000
            }
        }

        var abuse: HTTP2Abuse {
            switch self {
            case .reset: .rapidReset
            case .settings: .settingsFlood
            case .ping: .pingFlood
            case .priority: .priorityFlood
            case .windowUpdate: .windowUpdateFlood
            case .emptyData: .emptyDataFlood
            }
        }
    }

    static let span: UInt64 = 10_000_000_000

    private var counts: InlineArray<6, UInt32> = InlineArray(repeating: 0)
    private var spanEnds: UInt64 = 0

    /// Notes one event; false when there were too many of its kind.
    mutating func admits(_ event: Event, now: UInt64) -> Bool {
        if now >= self.spanEnds {
            self.counts = InlineArray(repeating: 0)
            self.spanEnds = now &+ HTTP2FloodGuard.span
        }
        self.counts[event.rawValue] &+= 1
        return self.counts[event.rawValue] <= event.limit
    }
}

/// How often each limit was met, on one loop; read by any thread.
final class HTTP2Counters: Sendable {
    let connections: Atomic<Int> = Atomic(0)
    private let rapidReset: Atomic<Int> = Atomic(0)
    private let settings: Atomic<Int> = Atomic(0)
    private let ping: Atomic<Int> = Atomic(0)
    private let priority: Atomic<Int> = Atomic(0)
    private let windowUpdate: Atomic<Int> = Atomic(0)
    private let emptyData: Atomic<Int> = Atomic(0)
    private let headerBlock: Atomic<Int> = Atomic(0)
    private let headerList: Atomic<Int> = Atomic(0)
    private let stalled: Atomic<Int> = Atomic(0)
    private let protocolError: Atomic<Int> = Atomic(0)

    func add(_ abuse: HTTP2Abuse) {
        switch abuse {
        case .rapidReset: self.rapidReset.wrappingAdd(1, ordering: .relaxed)
        case .settingsFlood: self.settings.wrappingAdd(1, ordering: .relaxed)
        case .pingFlood: self.ping.wrappingAdd(1, ordering: .relaxed)
        case .priorityFlood: self.priority.wrappingAdd(1, ordering: .relaxed)
        case .windowUpdateFlood: self.windowUpdate.wrappingAdd(1, ordering: .relaxed)
        case .emptyDataFlood: self.emptyData.wrappingAdd(1, ordering: .relaxed)
        case .headerBlock: self.headerBlock.wrappingAdd(1, ordering: .relaxed)
        case .headerList: self.headerList.wrappingAdd(1, ordering: .relaxed)
        case .stalledStream: self.stalled.wrappingAdd(1, ordering: .relaxed)
        case .protocolError: self.protocolError.wrappingAdd(1, ordering: .relaxed)
        }
    }

    func count(_ abuse: HTTP2Abuse) -> Int {
        switch abuse {
        case .rapidReset: self.rapidReset.load(ordering: .relaxed)
        case .settingsFlood: self.settings.load(ordering: .relaxed)
        case .pingFlood: self.ping.load(ordering: .relaxed)
        case .priorityFlood: self.priority.load(ordering: .relaxed)
        case .windowUpdateFlood: self.windowUpdate.load(ordering: .relaxed)
        case .emptyDataFlood: self.emptyData.load(ordering: .relaxed)
        case .headerBlock: self.headerBlock.load(ordering: .relaxed)
        case .headerList: self.headerList.load(ordering: .relaxed)
        case .stalledStream: self.stalled.load(ordering: .relaxed)
        case .protocolError: self.protocolError.load(ordering: .relaxed)
        }
    }
}
