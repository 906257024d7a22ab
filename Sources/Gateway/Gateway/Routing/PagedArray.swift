/// Elements of a `PagedArray`, shared by all snapshots between which none of them changed.
final class Page<Element>: @unchecked Sendable {
    // Safe to share: the compiler writes a place only as long as no snapshot can read it; see `PagedArray`.
    let base: UnsafeMutablePointer<Element>

    /// Places there are; fewer than `size` only in the one page of a small array.
    let capacity: Int

    /// Places of a page, as a power of two: what a change copies at least. About 32 KiB, so that the list of pages of even a large
    /// array stays in the processor's nearest cache.
    @inline(__always)
    static var shift: Int {
        Int.bitWidth - 1 - (32_768 / max(1, MemoryLayout<Element>.stride)).leadingZeroBitCount
    }
    @inline(__always)
    static var size: Int { 1 << self.shift }
    @inline(__always)
    static var mask: Int { self.size - 1 }

    init(filler: Element, capacity: Int) {
        self.capacity = capacity
        self.base = .allocate(capacity: capacity)
        self.base.initialize(repeating: filler, count: capacity)
    }

    init(copying other: Page<Element>) {
        self.capacity = other.capacity
        self.base = .allocate(capacity: other.capacity)
        self.base.initialize(from: other.base, count: other.capacity)
    }

    /// The same with more places.
    init(enlarging other: Page<Element>, to capacity: Int, filler: Element) {
        self.capacity = capacity
        self.base = .allocate(capacity: capacity)
        self.base.initialize(from: other.base, count: other.capacity)
        (self.base + other.capacity).initialize(repeating: filler, count: capacity - other.capacity)
    }

    deinit {
        self.base.deinitialize(count: self.capacity)
        self.base.deallocate()
    }
}

/// An array that changes at a cost of what changes, while earlier states of it stay as they are.
///
/// `share` gives the present state away; from then on, a page is copied before a shared element in it is replaced. What is
/// appended goes where no shared state looks. One thread; the states may be read by any.
struct PagedArray<Element> {
    /// Places of the first page, before it grows.
    private static var capacityMin: Int { 16 }

    private let filler: Element
    private var pages: [Page<Element>] = []
    /// The pages' memory, to be reached without a reference count.
    private var bases: [UnsafeMutablePointer<Element>] = []
    /// Pages that no shared state has.
    private var isOwn: [Bool] = []
    private(set) var count: Int = 0
    private var sharedCount: Int = 0
    /// What was shared, while it is the present state.
    private var shared: SharedPages<Element>?

    init(filler: Element, count: Int = 0) {
        self.filler = filler
        if count > 0 && count < Page<Element>.size { self.add(Page(filler: filler, capacity: count)) }
        while self.pages.count * Page<Element>.size < count && count >= Page<Element>.size {
            self.add(Page(filler: filler, capacity: Page<Element>.size))
        }
        self.count = count
    }

    private mutating func add(_ page: Page<Element>) {
        self.pages.append(page)
        self.bases.append(page.base)
        self.isOwn.append(true)
    }

    private mutating func set(_ page: Page<Element>, at index: Int) {
        self.pages[index] = page
        self.bases[index] = page.base
        self.isOwn[index] = true
    }

    /// Makes a place behind the last one.
    private mutating func makeRoom() {
        if self.pages.isEmpty {
            self.add(Page(filler: self.filler, capacity: min(Self.capacityMin, Page<Element>.size)))
        } else if self.pages.count == 1, self.pages[0].capacity < Page<Element>.size {
            let capacity: Int = min(max(self.pages[0].capacity * 4, Self.capacityMin), Page<Element>.size)
            self.set(Page(enlarging: self.pages[0], to: capacity, filler: self.filler), at: 0)
        } else {
            self.add(Page(filler: self.filler, capacity: Page<Element>.size))
        }
    }

    private var capacity: Int {
        self.pages.count == 1 ? self.pages[0].capacity : self.pages.count << Page<Element>.shift
    }

    subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < self.count)
            return self.bases[index >> Page<Element>.shift][index & Page<Element>.mask]
        }
        set {
            precondition(index >= 0 && index < self.count)
            let page: Int = index >> Page<Element>.shift
            if !self.isOwn[page] && index < self.sharedCount { self.set(Page(copying: self.pages[page]), at: page) }
            self.shared = nil
            self.bases[page][index & Page<Element>.mask] = newValue
        }
    }

    mutating func append(_ element: Element) {
        if self.count == self.capacity { self.makeRoom() }
        self.bases[self.count >> Page<Element>.shift][self.count & Page<Element>.mask] = element
        self.count += 1
        self.shared = nil
    }

    /// The present state. It never changes.
    mutating func share() -> SharedPages<Element> {
        if let shared: SharedPages<Element> = self.shared { return shared }
        let shared: SharedPages<Element> = SharedPages(self.pages, self.bases, count: self.count)
        for index in self.isOwn.indices { self.isOwn[index] = false }
        self.sharedCount = self.count
        self.shared = shared
        return shared
    }
}

/// A state of a `PagedArray`: immutable, read by any thread. An element costs one load more than in one piece of memory.
final class SharedPages<Element>: @unchecked Sendable {
    // Safe to share: nobody writes to it, nor to places of its pages below `count`.
    let table: UnsafeMutablePointer<UnsafeMutablePointer<Element>>
    let count: Int
    private let pages: [Page<Element>]

    fileprivate init(_ pages: [Page<Element>], _ bases: [UnsafeMutablePointer<Element>], count: Int) {
        self.pages = pages
        self.count = count
        self.table = .allocate(capacity: max(bases.count, 1))
        for (index, base) in bases.enumerated() { (self.table + index).initialize(to: base) }
    }

    deinit { self.table.deallocate() }

    @inline(__always)
    subscript(index: Int) -> Element {
        precondition(index >= 0 && index < self.count)
        return self.table[index >> Page<Element>.shift][index & Page<Element>.mask]
    }

    @inline(__always)
    func pointer(_ index: Int) -> UnsafePointer<Element> {
        precondition(index >= 0 && index < self.count)
        return UnsafePointer(self.table[index >> Page<Element>.shift] + (index & Page<Element>.mask))
    }
}

extension SharedPages {
    /// Pages that the other state does not have: what was copied or added since.
    func pagesNotShared(with other: SharedPages<Element>) -> Int {
        let theirs: Set<ObjectIdentifier> = Set(other.pages.map { ObjectIdentifier($0) })
        return self.pages.filter { !theirs.contains(ObjectIdentifier($0)) }.count
    }
}

/// The same as a pointer: what a look-up carries, without a reference count.
struct PageTable<Element>: BitwiseCopyable {
    private let table: UnsafePointer<UnsafeMutablePointer<Element>>

    init(_ pages: SharedPages<Element>) { self.table = UnsafePointer(pages.table) }

    /// Unchecked: places come from tables of the same snapshot.
    @inline(__always)
    subscript(index: Int) -> Element {
        self.table[index >> Page<Element>.shift][index & Page<Element>.mask]
    }
}

/// A slot of an open-addressing table; `hash` 0 means empty.
protocol HashedSlot: BitwiseCopyable {
    var hash: UInt64 { get }
    init()
}

/// An open-addressing table over pages; at most half full, so that a look-up sees few slots. Slots are added and changed, never
/// taken out.
struct PagedTable<Slot: HashedSlot> {
    private(set) var slots: PagedArray<Slot>
    private var used: Int = 0

    /// `expected` slots are about to come: saves growing.
    init(expected: Int) {
        var size: Int = 8
        while size < expected * 2 { size *= 2 }
        self.slots = PagedArray(filler: Slot(), count: size)
    }

    func start(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (self.slots.count - 1) }

    func next(_ index: Int) -> Int { (index + 1) & (self.slots.count - 1) }

    subscript(index: Int) -> Slot {
        get { self.slots[index] }
        set { self.slots[index] = newValue }
    }

    /// Adds a slot that is known not to be there.
    mutating func insert(_ slot: Slot) {
        if (self.used + 1) * 2 > self.slots.count { self.grow() }
        self.used += 1
        Self.place(slot, in: &self.slots)
    }

    private mutating func grow() {
        var larger: PagedArray<Slot> = PagedArray(filler: Slot(), count: self.slots.count * 2)
        for index in 0..<self.slots.count {
            let slot: Slot = self.slots[index]
            if slot.hash != 0 { Self.place(slot, in: &larger) }
        }
        self.slots = larger
    }

    private static func place(_ slot: Slot, in slots: inout PagedArray<Slot>) {
        let mask: Int = slots.count - 1
        var index: Int = Int(truncatingIfNeeded: slot.hash) & mask
        while slots[index].hash != 0 { index = (index + 1) & mask }
        slots[index] = slot
    }

    mutating func share() -> SharedPages<Slot> { self.slots.share() }
}
