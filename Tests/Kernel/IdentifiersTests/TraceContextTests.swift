import Identifiers
import Testing

@Suite struct TraceContextTests {
    private static let example: String = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test func readsAndWritesTheHeader() throws {
        let context: TraceContext = try #require(TraceContext(traceparent: TraceContextTests.example))
        #expect(context.traceID == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(context.spanID == 0x00f0_67aa_0ba9_02b7)
        #expect(context.isSampled)
        #expect(context.traceparent == TraceContextTests.example)
    }

    @Test(arguments: [
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
    ])
    func readsLaterVersionsAndUnknownFlags(text: String) {
        #expect(TraceContext(traceparent: text)?.traceparent == TraceContextTests.example)
    }

    @Test(arguments: [
        "", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0.",
    ])
    func refusesMalformedHeaders(text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }

    @Test func aChildStaysInItsTrace() {
        let parent: TraceContext = TraceContext.make()
        let child: TraceContext = parent.child()
        #expect(child.traceID == parent.traceID)
        #expect(child.spanID != parent.spanID)
        #expect(TraceContext(traceparent: child.traceparent) == child)
        #expect(TraceContext.make().traceID != parent.traceID)
    }

    @Test func zeroFromTheGeneratorNeverBecomesAnID() {
        struct Zeros: RandomNumberGenerator {
            mutating func next() -> UInt64 { 0 }
        }
        var zeros = Zeros()
        let context: TraceContext = TraceContext.make(using: &zeros, isSampled: false)
        #expect(context.traceparent == "00-00000000000000000000000000000001-0000000000000001-00")
        #expect(TraceContext(traceIDHigh: 0, traceIDLow: 0, spanID: 1, isSampled: true) == nil)
    }

    @Test func aSeedGivesTheSameSequenceAndAnotherSeedAnother() {
        var first = FastRandom(seed: 7)
        var second = FastRandom(seed: 7)
        var other = FastRandom(seed: 8)
        var kernel = FastRandom()
        let numbers: [UInt64] = (0..<8).map { _ in first.next() }
        #expect((0..<8).map { _ in second.next() } == numbers)
        #expect((0..<8).map { _ in other.next() } != numbers)
        #expect((0..<8).map { _ in kernel.next() } != numbers)
        #expect(Set(numbers).count == 8)
    }
}
