import HTTP

/// Where the body of a message ends, and how much of it has passed.
struct BodyFlow {
    enum Kind: UInt8 {
        /// Nothing (more) comes.
        case done
        /// `left` bytes come.
        case length
        case chunked
        /// All that comes until the connection ends.
        case untilClose
    }

    private(set) var kind: Kind = .done
    private(set) var left: UInt64 = 0
    var decoder: HTTPChunkedDecoder = HTTPChunkedDecoder()

    init() {}

    /// `keepsFraming`: a chunked body is passed on as it is framed, not taken apart.
    init(_ framing: HTTPFraming, keepsFraming: Bool) {
        switch framing {
        case .none: self.kind = .done
        case .length(let count):
            self.kind = .length
            self.left = count
        case .chunked:
            self.kind = .chunked
            self.decoder = HTTPChunkedDecoder(keepsFraming: keepsFraming)
        case .untilClose: self.kind = .untilClose
        }
    }

    var isDone: Bool { self.kind == .done }

    /// How many of `count` bytes belong to a body of known length; they are counted as passed.
    mutating func take(_ count: Int) -> Int {
        let taken: Int = Int(min(UInt64(count), self.left))
        self.left -= UInt64(taken)
        if self.left == 0 { self.kind = .done }
        return taken
    }

    mutating func finish() {
        self.kind = .done
        self.left = 0
    }
}
