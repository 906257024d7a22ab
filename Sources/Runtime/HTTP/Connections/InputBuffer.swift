/// Bytes received and not understood yet: what is left of a read when a message is incomplete or another one waits its turn.
///
/// Empty most of the time: connections read into the loop's scratch space and keep only the rest here, so that an idle
/// connection holds no buffer.
struct InputBuffer {
    /// Consumed bytes at the front are cut off when they are at least this many and half of what is there.
    private static let compactionBytes: Int = 4096

    private var bytes: [UInt8] = []
    private var start: Int = 0

    var count: Int { self.bytes.count - self.start }
    var isEmpty: Bool { self.start == self.bytes.count }

    mutating func append(_ more: UnsafeRawBufferPointer) {
        self.bytes.append(contentsOf: more)
    }

    mutating func consume(_ count: Int) {
        self.start += count
        if self.start == self.bytes.count {
            self.bytes = []
            self.start = 0
        } else if self.start >= InputBuffer.compactionBytes && self.start * 2 >= self.bytes.count {
            self.bytes.removeFirst(self.start)
            self.start = 0
        }
    }

    mutating func removeAll() {
        self.bytes = []
        self.start = 0
    }

    /// The unread bytes. The closure must not change this buffer.
    func withUnread<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[self.start...])) }
    }
}
