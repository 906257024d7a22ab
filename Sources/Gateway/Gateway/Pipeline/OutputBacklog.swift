/// Pieces of an answer that wait because the client does not take what was given to the kernel already. In order.
final class OutputBacklog {
    private var pieces: [[UInt8]] = []
    private var first: Int = 0
    /// Bytes of the first piece that went.
    private var offset: Int = 0

    var isEmpty: Bool { self.first == self.pieces.count }

    func append(_ piece: [UInt8]) {
        if !piece.isEmpty { self.pieces.append(piece) }
    }

    /// Gives up to `most` bytes of the first piece to the body, and forgets them.
    func take(_ most: Int, _ body: (UnsafeRawPointer, Int) -> Void) {
        guard !self.isEmpty else { return }
        let piece: [UInt8] = self.pieces[self.first]
        let count: Int = min(most, piece.count - self.offset)
        piece.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
            if let base: UnsafeRawPointer = raw.baseAddress { body(base + self.offset, count) }
        }
        self.offset += count
        if self.offset < piece.count { return }
        self.pieces[self.first] = []
        self.first += 1
        self.offset = 0
        if self.first == self.pieces.count { self.reset() }
    }

    func reset() {
        if !self.pieces.isEmpty { self.pieces.removeAll(keepingCapacity: true) }
        self.first = 0
        self.offset = 0
    }
}
