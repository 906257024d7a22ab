/// Plain values in one piece of memory, filled once and never changed; freed with its owner.
///
/// What is read per request lives here: an element is read without a reference count and without copying anything but itself.
final class FlatArray<Element: BitwiseCopyable>: @unchecked Sendable {
    // Safe to share: nobody writes after init, and elements hold no references. Pointers inside elements point to memory that
    // the owner of this array keeps alive and that is shared by rules of its own (the words of limits are atomic).
    let base: UnsafeMutablePointer<Element>
    let count: Int

    init(_ elements: [Element]) {
        self.count = elements.count
        self.base = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        elements.withUnsafeBufferPointer { source in
            if let start: UnsafePointer<Element> = source.baseAddress {
                self.base.initialize(from: start, count: source.count)
            }
        }
    }

    deinit {
        self.base.deallocate()
    }

    @inline(__always)
    subscript(index: Int) -> Element {
        precondition(index >= 0 && index < self.count)
        return self.base[index]
    }
}

/// Where a piece of text stands in a `TextBlob`.
struct TextRange: BitwiseCopyable, Sendable, Equatable {
    var offset: UInt32 = 0
    var length: UInt32 = 0

    var isEmpty: Bool { self.length == 0 }
}

/// Collects texts one behind the other while something is compiled.
struct TextBlob {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ text: String) -> TextRange {
        let offset: Int = self.bytes.count
        self.bytes.append(contentsOf: text.utf8)
        return TextRange(offset: UInt32(offset), length: UInt32(self.bytes.count - offset))
    }

    mutating func append(_ bytes: UnsafeRawPointer, count: Int) -> TextRange {
        let offset: Int = self.bytes.count
        self.bytes.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        return TextRange(offset: UInt32(offset), length: UInt32(count))
    }
}

extension FlatArray where Element == UInt8 {
    @inline(__always)
    func text(_ range: TextRange) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: UnsafeRawPointer(self.base) + Int(range.offset), count: Int(range.length))
    }
}
