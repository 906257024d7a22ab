/// A piece of text in a `TextArena`: plain, and as long alive as the arena's memory.
struct TextRange: BitwiseCopyable, @unchecked Sendable {
    // Safe to share: the bytes never change once the range is made.
    var start: UnsafeRawPointer?
    var length: UInt32

    init() {
        self.start = nil
        self.length = 0
    }

    fileprivate init(start: UnsafeRawPointer, length: Int) {
        self.start = start
        self.length = UInt32(length)
    }

    var isEmpty: Bool { self.length == 0 }

    /// Whether both are the same piece of memory: the same text, where each is stored once.
    @inline(__always)
    func isSame(as other: TextRange) -> Bool { self.start == other.start && self.length == other.length }

    @inline(__always)
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: self.start, count: Int(self.length)) }
}

/// A piece of the memory of texts, freed with the last snapshot that refers to it.
final class TextChunk: @unchecked Sendable {
    // Safe to share: every byte is written once, before anyone else hears of it.
    fileprivate let base: UnsafeMutableRawPointer
    fileprivate let size: Int

    fileprivate init(size: Int) {
        self.base = .allocate(byteCount: size, alignment: 1)
        self.size = size
    }

    deinit { self.base.deallocate() }
}

/// Keeps texts one behind the other, at addresses that do not change. Texts are added and never taken out: what is not needed any
/// more goes with the arena.
struct TextArena {
    private static let chunkBytes: Int = 16 * 1024

    /// Whoever uses a range keeps these.
    private(set) var chunks: [TextChunk] = []
    private var used: Int = 0

    mutating func append(_ text: String) -> TextRange {
        var copy: String = text
        return copy.withUTF8 { (bytes: UnsafeBufferPointer<UInt8>) -> TextRange in
            guard let base: UnsafePointer<UInt8> = bytes.baseAddress else { return TextRange() }
            return self.append(UnsafeRawPointer(base), count: bytes.count)
        }
    }

    mutating func append(_ bytes: UnsafeRawPointer, count: Int) -> TextRange {
        if count == 0 { return TextRange() }
        if self.chunks.isEmpty || self.chunks[self.chunks.count - 1].size - self.used < count {
            self.chunks.append(TextChunk(size: max(count, Self.chunkBytes)))
            self.used = 0
        }
        let place: UnsafeMutableRawPointer = self.chunks[self.chunks.count - 1].base + self.used
        place.copyMemory(from: bytes, byteCount: count)
        self.used += count
        return TextRange(start: UnsafeRawPointer(place), length: count)
    }
}
