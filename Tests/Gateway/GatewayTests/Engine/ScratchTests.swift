import Synchronization
import Testing

@testable import Gateway

/// Memory that messages are put together in.
struct ScratchTests {
    @Test(arguments: [0, 1, 0xF, 0x10, 0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210, UInt64.max, 0xA0A0_A0A0_0909_0909])
    func writesWordsAsDigits(_ value: UInt64) {
        var writer: ScratchWriter = ScratchWriter(capacity: 64)
        defer { writer.base.deallocate() }
        writer.append("<")
        writer.append(hexadecimal: value)
        writer.append(">")
        let plain: String = String(value, radix: 16)
        let wanted: String = "<" + String(repeating: "0", count: 16 - plain.count) + plain + ">"
        #expect(
            String(decoding: UnsafeRawBufferPointer(start: writer.base, count: writer.count), as: UTF8.self) == wanted)
    }

    @Test func writesNoPartOfAWordThatDoesNotFit() {
        var writer: ScratchWriter = ScratchWriter(capacity: 16)
        defer { writer.base.deallocate() }
        writer.append("-")
        writer.append(hexadecimal: UInt64.max)
        #expect(writer.overflowed)
        #expect(writer.count == 1)
        writer.clear()
        writer.append(hexadecimal: UInt64.max)
        #expect(!writer.overflowed)
        #expect(writer.count == 16)
    }

    /// More than are kept, of every size; each is used to its end.
    @Test func givesEachBlockToOneAtATime() {
        let pool: BlockPool = BlockPool()
        for round in 0..<3 {
            var blocks: [ByteBlock] = []
            for number in 0..<1200 {
                let count: Int = number % 100 == 99 ? BlockPool.largeBytes : number % 2 == 0 ? 100 : 10_000
                var block: ByteBlock = pool.take(count)
                #expect(block.capacity >= count)
                let bytes: [UInt8] = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: block.capacity)
                bytes.withUnsafeBytes { block.append($0.baseAddress!, $0.count) }
                blocks.append(block)
            }
            #expect(Set(blocks.map { $0.base }).count == blocks.count)
            for (number, block) in blocks.enumerated() {
                #expect(block.bytes.allSatisfy { $0 == UInt8(truncatingIfNeeded: number) }, "round \(round)")
                pool.give(block)
            }
            #expect(pool.taken.load(ordering: .relaxed) == 0)
        }
    }
}
