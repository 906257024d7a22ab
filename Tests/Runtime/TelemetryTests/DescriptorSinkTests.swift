import Glibc
import JSON
import Telemetry
import TestKit
import Testing

@Suite struct DescriptorSinkTests {
    /// A pipe whose ends close with it.
    private final class Pipe: Sendable {
        let reading: Int32
        let writing: Int32

        init() {
            var ends: [Int32] = [0, 0]
            precondition(pipe(&ends) == 0)
            self.reading = ends[0]
            self.writing = ends[1]
        }

        deinit {
            close(self.reading)
            close(self.writing)
        }

        /// What one read returns.
        func read() -> [UInt8] {
            var bytes: [UInt8] = [UInt8](repeating: 0, count: 1 << 20)
            let count: Int = Glibc.read(self.reading, &bytes, bytes.count)
            return Array(bytes.prefix(max(0, count)))
        }
    }

    private func sink(_ pipe: Pipe, bytesMax: Int = DescriptorSink.bytesMaxDefault) -> DescriptorSink {
        DescriptorSink(descriptor: pipe.writing, bytesMax: bytesMax) { Array("dropped \($0)\n".utf8) }
    }

    @Test func writesLinesInOrder() {
        let pipe = Pipe()
        let sink: DescriptorSink = self.sink(pipe)
        var expected: String = ""
        for number in 0..<1000 {
            sink.write(Array("line \(number)\n".utf8))
            expected += "line \(number)\n"
        }
        sink.flush(within: .seconds(20))
        #expect(String(decoding: pipe.read(), as: UTF8.self) == expected)
        #expect(sink.dropped == 0)
        sink.close()
    }

    @Test func aFullBufferDropsAndSaysSo() throws {
        let pipe = Pipe()
        let sink: DescriptorSink = self.sink(pipe, bytesMax: 100_000)
        // Nobody reads: the pipe (64 KiB) and then the buffer fill up.
        let line: [UInt8] = [UInt8](repeating: UInt8(ascii: "x"), count: 999) + [UInt8(ascii: "\n")]
        for _ in 0..<300 { sink.write(line) }
        let dropped: UInt64 = sink.dropped
        #expect(dropped > 0)
        var text: [UInt8] = []
        var told: UInt64 = 0
        var whole: Int = 0
        try eventuallyBlocking("every line is there or told as dropped") {
            text += pipe.read()
            // Complete lines only: a read may end within one.
            let lines = text[...(text.lastIndex(of: UInt8(ascii: "\n")) ?? -1)].split(separator: UInt8(ascii: "\n"))
            whole = lines.count { $0.count == 999 }
            let notices: [String] = lines.filter { $0.count != 999 }.map { String(decoding: $0, as: UTF8.self) }
            told = notices.reduce(0) { $0 + (UInt64($1.dropFirst("dropped ".count)) ?? 1_000_000) }
            return whole + Int(told) >= 300
        }
        #expect(told == dropped)
        #expect(whole == 300 - Int(dropped))
        sink.close()
    }

    @Test func aDescriptorThatTakesNothingDropsWithoutStoppingTheCaller() throws {
        let pipe = Pipe()
        // The reading end is no descriptor to write to: EBADF.
        let sink = DescriptorSink(descriptor: pipe.reading) { _ in [] }
        sink.write(Array("lost\n".utf8))
        try eventuallyBlocking { sink.dropped == 1 }
        sink.close()
        sink.write(Array("after close\n".utf8))
        #expect(sink.dropped == 2)
    }

    @Test func aNonBlockingDescriptorIsWaitedFor() throws {
        let pipe = Pipe()
        _ = fcntl(pipe.writing, F_SETFL, fcntl(pipe.writing, F_GETFL) | O_NONBLOCK)
        let sink: DescriptorSink = self.sink(pipe)
        let line: [UInt8] = [UInt8](repeating: UInt8(ascii: "y"), count: 3999) + [UInt8(ascii: "\n")]
        for _ in 0..<100 { sink.write(line) }
        var count: Int = 0
        try eventuallyBlocking {
            count += pipe.read().count
            return count == 400_000
        }
        #expect(sink.dropped == 0)
        sink.close()
    }
}
