/// Plain values in one piece of memory, filled once and never changed; freed with its owner.
///
/// For what is small and laid out anew with every snapshot. What grows with the document lives in a `PagedArray`.
final class FlatArray<Element: BitwiseCopyable>: @unchecked Sendable {
    // Safe to share: nobody writes after init, and elements hold no references. Pointers inside elements point to memory that
    // the owner of this array keeps alive.
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
