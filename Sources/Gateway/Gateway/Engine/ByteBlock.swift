import Synchronization

/// Memory taken from a loop's `BlockPool`, with the part of it that is filled: bytes that wait to be sent or to be read on.
///
/// A plain value without ownership: whoever holds it gives it back to the pool once.
struct ByteBlock {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    /// First byte that was not taken yet.
    var start: Int = 0
    /// Behind the last byte.
    var end: Int = 0

    var count: Int { self.end &- self.start }
    var space: Int { self.capacity &- self.end }
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: UnsafeRawPointer(self.base + self.start), count: self.count)
    }

    /// Copies bytes behind the last one. The caller has made sure that they fit.
    mutating func append(_ bytes: UnsafeRawPointer, _ count: Int) {
        precondition(count >= 0 && count <= self.space, "a block is not written past its end")
        (self.base + self.end).copyMemory(from: bytes, byteCount: count)
        self.end &+= count
    }
}

/// Free blocks of one size, each holding the address of the next one.
private struct FreeBlocks {
    private var first: UnsafeMutableRawPointer?
    private var left: Int

    init(most: Int) { self.left = most }

    @inline(__always)
    mutating func take() -> UnsafeMutableRawPointer? {
        guard let block: UnsafeMutableRawPointer = self.first else { return nil }
        self.first = block.load(as: UnsafeMutableRawPointer?.self)
        self.left &+= 1
        return block
    }

    /// False when as many as allowed are kept.
    @inline(__always)
    mutating func give(_ block: UnsafeMutableRawPointer) -> Bool {
        if self.left == 0 { return false }
        self.left &-= 1
        block.storeBytes(of: self.first, as: UnsafeMutableRawPointer?.self)
        self.first = block
        return true
    }

    mutating func deallocate() {
        while let block: UnsafeMutableRawPointer = self.take() { block.deallocate() }
    }
}

/// The blocks of one loop, in three sizes; free ones are kept up to a bound. Connections without work hold none.
final class BlockPool {
    /// Most requests and their heads.
    static let smallBytes: Int = 2 * 1024
    static let middleBytes: Int = 16 * 1024
    /// All that one turn can leave behind: a full receive buffer, framing, and the largest head.
    static let largeBytes: Int = 192 * 1024
    /// Free blocks kept of each size: 2 MiB, 2 MiB and 1.5 MiB at most.
    private static let smallKept: Int = 1024
    private static let middleKept: Int = 128
    private static let largeKept: Int = 8

    private var small: FreeBlocks = FreeBlocks(most: BlockPool.smallKept)
    private var middle: FreeBlocks = FreeBlocks(most: BlockPool.middleKept)
    private var large: FreeBlocks = FreeBlocks(most: BlockPool.largeKept)
    /// Blocks out; written by the loop, read by anyone.
    let taken: Atomic<Int> = Atomic(0)

    deinit {
        self.small.deallocate()
        self.middle.deallocate()
        self.large.deallocate()
    }

    /// A block with room for `count` bytes, at most `largeBytes`.
    func take(_ count: Int) -> ByteBlock {
        precondition(count <= BlockPool.largeBytes, "one turn never leaves more than the largest block holds")
        self.count(1)
        if count <= BlockPool.smallBytes {
            return ByteBlock(
                base: self.small.take() ?? self.allocate(BlockPool.smallBytes), capacity: BlockPool.smallBytes)
        }
        if count <= BlockPool.middleBytes {
            return ByteBlock(
                base: self.middle.take() ?? self.allocate(BlockPool.middleBytes), capacity: BlockPool.middleBytes)
        }
        return ByteBlock(
            base: self.large.take() ?? self.allocate(BlockPool.largeBytes), capacity: BlockPool.largeBytes)
    }

    func give(_ block: ByteBlock) {
        self.count(-1)
        var isKept: Bool = false
        switch block.capacity {
        case BlockPool.smallBytes: isKept = self.small.give(block.base)
        case BlockPool.middleBytes: isKept = self.middle.give(block.base)
        case BlockPool.largeBytes: isKept = self.large.give(block.base)
        default: break
        }
        if !isKept { block.base.deallocate() }
    }

    /// Adds bytes to the block, moving to a larger one where they do not fit.
    func append(_ bytes: UnsafeRawPointer, _ count: Int, to block: inout ByteBlock) {
        if count > block.space {
            var larger: ByteBlock = self.take(block.count + count)
            larger.append(UnsafeRawPointer(block.base + block.start), block.count)
            self.give(block)
            block = larger
        }
        block.append(bytes, count)
    }

    /// Only the loop writes, so a load and a store do: no atomic addition in a request's path.
    @inline(__always)
    private func count(_ change: Int) {
        self.taken.store(self.taken.load(ordering: .relaxed) &+ change, ordering: .relaxed)
    }

    private func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
    }
}

/// Where a loop puts a head together before it is sent; used by one message at a time and empty between turns.
struct ScratchWriter {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    private(set) var count: Int = 0
    /// Something did not fit and was left out: what was put together must not be sent.
    private(set) var overflowed: Bool = false

    init(capacity: Int) {
        self.base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
        self.capacity = capacity
    }

    var space: Int { self.capacity &- self.count }

    mutating func clear() {
        self.count = 0
        self.overflowed = false
    }

    @inline(__always)
    mutating func append(_ bytes: UnsafeRawPointer, _ count: Int) {
        guard count >= 0, count <= self.space else {
            self.overflowed = true
            return
        }
        (self.base + self.count).copyMemory(from: bytes, byteCount: count)
        self.count &+= count
    }

    @inline(__always)
    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start: UnsafeRawPointer = bytes.baseAddress else { return }
        self.append(start, bytes.count)
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        self.append(text.utf8Start, text.utf8CodeUnitCount)
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        guard self.space >= 1 else {
            self.overflowed = true
            return
        }
        self.base.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count &+= 1
    }

    mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { self.append($0) }
    }

    /// A decimal number, not negative.
    mutating func append(decimal value: Int) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { (raw: UnsafeMutableRawBufferPointer) in
            var index: Int = raw.count
            var rest: UInt = UInt(max(0, value))
            repeat {
                index -= 1
                raw[index] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            self.append(UnsafeRawBufferPointer(rebasing: raw[index...]))
        }
    }

    /// A number as hexadecimal digits, for chunk sizes.
    mutating func append(hexadecimal value: Int) {
        var shift: Int = value <= 0 ? 0 : (63 - value.leadingZeroBitCount) / 4 * 4
        while shift >= 0 {
            let digit: UInt8 = UInt8(truncatingIfNeeded: value >> shift & 15)
            self.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
            shift -= 4
        }
    }

    /// 16 lower-case hexadecimal digits.
    @inline(__always)
    mutating func append(hexadecimal value: UInt64) {
        guard self.space >= 16 else {
            self.overflowed = true
            return
        }
        HexadecimalWords.write(value, to: self.base + self.count)
        self.count &+= 16
    }

    mutating func append(text: String) {
        for byte in text.utf8 { self.append(byte) }
    }
}
